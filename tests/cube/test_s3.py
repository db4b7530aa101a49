"""A cube on S3: the same bytes as on disk, one builder at a time, safe to kill."""

import json
import os
import random
import re
import socket
import time

import boto3
import psutil
import pytest
import s3fs
import xarray as xr
from children import run_build, start, tree
from moto.server import ThreadedMotoServer
from scenarios import DEEP, SMALL

import s2kit
from s2kit.errors import CubeLockedError


@pytest.fixture(scope="module")
def s3():
    """Run an S3 server on loopback and give its settings."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


@pytest.fixture
def bucket(s3, monkeypatch, request):
    """Return a new bucket that keeps every version of every object."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    boto3.client("s3").create_bucket(Bucket=name)
    boto3.client("s3").put_bucket_versioning(
        Bucket=name, VersioningConfiguration={"Status": "Enabled"}
    )
    yield name
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def reference(days, tmp_path_factory):
    """Return the same cube on disk."""
    store = tmp_path_factory.mktemp("disk") / "cube.zarr"
    s2kit.build_cube(days, store, progress=False, **SMALL)
    return store


def objects(bucket: str) -> dict[str, bytes]:
    """Every object of the cube in a bucket."""
    client = boto3.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    return {
        key.removeprefix("cube.zarr/"): client.get_object(Bucket=bucket, Key=key)["Body"].read()
        for key in keys
    }


def versions(bucket: str) -> list[str]:
    """Every version and every deletion there ever was."""
    pages = boto3.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
    kinds = ("Versions", "DeleteMarkers")
    return [entry["VersionId"] for page in pages for kind in kinds for entry in page.get(kind, ())]


def test_s3_gives_the_same_bytes_and_a_rerun_none(days, reference, bucket):
    """A cube on S3 is the one on disk, reads the same, and a rerun writes no object."""
    place = f"s3://{bucket}/cube.zarr"
    s2kit.build_cube(days, place, progress=False, **SMALL)
    assert objects(bucket) == tree(reference)
    xr.testing.assert_identical(s2kit.open_cube(place).load(), s2kit.open_cube(reference).load())
    before = versions(bucket)
    report = s2kit.build_cube(days, place, progress=False)
    assert versions(bucket) == before
    assert not sum(report.added.values())


@pytest.mark.parametrize("options", [SMALL, DEEP], ids=["small", "deep"])
def test_s3_late_scene(days, bucket, tmp_path, options):
    """A step in the middle, on S3 as on disk; with overviews too."""
    for place in (f"s3://{bucket}/cube.zarr", tmp_path / "cube.zarr"):
        s2kit.build_cube(days[:2] + days[3:], place, progress=False, **options)
        s2kit.build_cube(days, place, progress=False)
    assert objects(bucket) == tree(tmp_path / "cube.zarr")


def test_s3_lock(days, bucket):
    """A living holder of the lock is named; a dead one's lock is taken over and then gone."""
    client, key = boto3.client("s3"), "cube.zarr/.s2kit/lock"
    process = psutil.Process()
    holder = {"host": socket.gethostname(), "pid": process.pid, "since": "2026-11-22T16:00:00"}
    for started in (process.create_time(), process.create_time() - 100):
        lock = json.dumps(holder | {"started": started}).encode()
        client.put_object(Bucket=bucket, Key=key, Body=lock)
        if started == process.create_time():
            with pytest.raises(CubeLockedError, match=f"process {process.pid} on"):
                s2kit.build_cube(days, f"s3://{bucket}/cube.zarr", progress=False, **SMALL)
            assert list(objects(bucket)) == [".s2kit/lock"]
        else:
            s2kit.build_cube(days, f"s3://{bucket}/cube.zarr", progress=False, **SMALL)
    assert ".s2kit/lock" not in objects(bucket)
    assert s2kit.open_cube(f"s3://{bucket}/cube.zarr").sizes["time"] == 5


@pytest.mark.parametrize("moment", range(5))
def test_s3_killed(days, reference, bucket, s3, moment):
    """After SIGKILL and a rerun the objects are those of an undisturbed build."""
    place = f"s3://{bucket}/cube.zarr"
    child = start(build_on_s3, s3, days, place)
    time.sleep(0.3 * (moment + random.Random(moment).random()))
    child.kill()
    child.join()
    assert child.exitcode in (-9, 0)
    s2kit.build_cube(days, place, progress=False, **SMALL)
    assert objects(bucket) == tree(reference)


def build_on_s3(settings: dict[str, str], days: list, place: str) -> None:
    """Build in a child with the settings of the server."""
    os.environ.update(settings)
    run_build(days, place, SMALL)


def test_s3_without_the_bucket(days, bucket):
    """A bucket that is not there ends in an error of the kit with the address."""
    for call in (
        s2kit.open_cube,
        lambda place: s2kit.build_cube(days, place, progress=False, **SMALL),
    ):
        with pytest.raises(s2kit.errors.CubeError, match=r"s3://no-such-bucket/cube\.zarr"):
            call("s3://no-such-bucket/cube.zarr")
