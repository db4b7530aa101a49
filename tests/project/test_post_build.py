"""Binder's postBuild makes the image with or without real imagery, and says what it holds."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PYTHON = """#!/bin/bash
# Stands in for Python: writes what the programs of postBuild would, and makes no cube but this.
set -euo pipefail
[[ "$1" != -c ]] || { echo env; exit; }  # where packages are
echo "ran $*"
case "$*" in
  "-m papermill "*)
    mkdir -p data/practice data/cube.zarr env/kernels
    head -c 3000000 /dev/zero > data/practice/scene
    head -c 2000000 /dev/zero > data/cube.zarr/chunk
    head -c 6000000 /dev/zero > env/package
    head -c 1000000 /dev/zero > env/kernels/some.nbc ;;
  "tools/make_real_cube.py "*)
    mkdir -p "$2"
    head -c 4000000 /dev/zero > "$2/chunk"
    eval "$REAL" ;;
esac
"""
TIMEOUT = """#!/bin/bash
# Is as patient as REAL_SECONDS says, whatever it is asked for.
echo "limit $2 s"
exec "$TIMEOUT" "$1" "$REAL_SECONDS" "${@:3}"
"""


@pytest.fixture
def post_build(tmp_path):
    """Return a function that runs postBuild in an empty folder; it gives what was printed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"python": PYTHON, "timeout": TIMEOUT}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(real: str, seconds: float = 20) -> str:
        done = subprocess.run(
            [ROOT / "binder/postBuild"],
            cwd=tmp_path,
            env=os.environ
            | {"PATH": f"{programs}:{os.environ['PATH']}", "REAL": real}
            | {"REAL_SECONDS": str(seconds), "TIMEOUT": "/usr/bin/timeout"},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def sizes(printed):
    """Return the MB of each layer, from the last lines."""
    last = printed.partition("What the image holds, in MB:\n")[2]
    return {name: int(size) for name, size in re.findall(r"^(.*?) {2,}(\d+)$", last, re.M)}


def test_steps_come_in_order_and_sizes_last(post_build, tmp_path):
    """The kit is installed, the cube made, kernels compiled, real imagery fetched, all measured."""
    printed = post_build("echo 'A cube of real imagery: 4 overpasses'")
    ran = re.findall(r"^ran (\S+ \S+)", printed, re.M)
    assert ran == [
        "-m pip",
        "-m papermill",
        "tools/compile_kernels.py data/cube.zarr",
        "tools/make_real_cube.py build/real.zarr",
    ]
    assert all((ROOT / words.split()[0]).is_file() for words in ran[2:])
    assert (tmp_path / "data/real.zarr/chunk").stat().st_size == 4_000_000
    found = sizes(printed)
    assert list(found) == ["packages", "kernels", "practice data", "practice cube", "real cube"]
    expected = {
        "packages": 6,
        "kernels": 1,
        "practice data": 3,
        "practice cube": 2,
        "real cube": 4,
    }
    assert all(expected[name] <= size <= expected[name] + 1 for name, size in found.items())


def test_the_real_cube_has_a_limit_of_time(post_build):
    """It may take at most five minutes."""
    assert "limit 300 s" in post_build("true")


@pytest.mark.parametrize(
    ("real", "says"),
    [
        ("echo 'No cube of real imagery: nobody is there.'; exit 1", "nobody is there."),
        ("kill -SEGV $$", "the program that makes it crashed."),
        ("exit 3", "the program that makes it crashed."),
        ("sleep 60", "it was not ready after 5 minutes."),
        (
            "trap '' TERM; sleep 60 & wait; sleep 60",
            "it took more than 5 minutes, or too much memory.",
        ),
        ("kill -9 $$", "it took more than 5 minutes, or too much memory."),
    ],
    ids=["told", "crash", "status", "slow", "deaf", "killed"],
)
def test_without_real_imagery_the_image_is_made(post_build, tmp_path, real, says):
    """However it fails half way, one line says why, and all but this cube is there."""
    printed = post_build(real, seconds=1)
    assert re.findall(r"^No cube of real imagery: (.*)$", printed, re.M) == [says]
    assert not (tmp_path / "data/real.zarr").exists()
    assert not (tmp_path / "build/real.zarr").exists()
    assert list(sizes(printed)) == ["packages", "kernels", "practice data", "practice cube"]
