"""Files are written whole: after an error, a kill or a power cut, the old one or the new one."""

import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import s2kit
from s2kit import atomic
from s2kit.atomic import replacing, sync, sync_all

ROOT = Path(s2kit.__file__).parents[1]


def run(code: str, folder: Path, *before: str) -> subprocess.CompletedProcess:
    """Run Python in a folder."""
    return subprocess.run(
        [*before, sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )


def test_new_bytes_take_the_place_of_the_old(tmp_path):
    """Readers see the old file until the block has ended; nothing else stays."""
    target = tmp_path / "a.txt"
    target.write_text("old")
    with replacing(target) as draft:
        assert draft.name == target.name and not draft.exists()
        draft.write_text("new")
        draft.with_name("a.txt-journal").write_text("beside it")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", ["old", None])
def test_an_error_leaves_what_was_there(tmp_path, error, old):
    """Whatever ends the block, the old file is whole, or there is none, and no draft stays."""
    target = tmp_path / "a.txt"
    if old:
        target.write_text(old)
    with pytest.raises(error), replacing(target) as draft:
        draft.write_text("ne")
        raise error
    assert [path.read_text() for path in tmp_path.iterdir()] == ([old] if old else [])


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    """The old file is not lost to a draft that never was."""
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        pass
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_full_disk_is_found_before_the_old_file_is_lost(tmp_path, monkeypatch):
    """What the disk refuses when the draft is synced leaves the old file."""
    (tmp_path / "a.txt").write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"), replacing(tmp_path / "a.txt") as draft:
        draft.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@given(name=st.text("aB.é-_ #?%'\"@&", min_size=1, max_size=250), content=st.binary(max_size=50))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_any_name_can_be_replaced(tmp_path, name, content):
    """A draft has room wherever its target has, and the same name."""
    name = name.encode()[:255].decode(errors="ignore")
    if not name.strip("."):
        return
    with replacing(tmp_path / name) as draft:
        draft.write_bytes(content)
    assert (tmp_path / name).read_bytes() == content
    assert list(tmp_path.iterdir()) == [tmp_path / name]
    (tmp_path / name).unlink()


def test_a_link_is_replaced_not_followed(tmp_path):
    """A file elsewhere, to which a link in the target's place leads, keeps its bytes."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.txt").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "a.txt") as draft:
        draft.write_text("new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new" and not (tmp_path / "a.txt").is_symlink()


def test_a_folder_is_whole_or_not_there(tmp_path):
    """A folder is put in its place by one rename; one that holds something is never replaced."""
    target = tmp_path / "a.zarr"
    with replacing(target) as draft:
        (draft / "0/0").mkdir(parents=True)
        (draft / "0/0/c").write_text("new")
        assert not target.exists()
    assert (target / "0/0/c").read_text() == "new"
    with pytest.raises(OSError), replacing(target) as draft:
        draft.mkdir()
    assert (target / "0/0/c").read_text() == "new" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("moment", ["before", "in", "after"])
def test_a_kill_leaves_the_old_file_or_the_new_one(tmp_path, moment):
    """Killed at any moment, the process leaves a file that is whole."""
    (tmp_path / "a.txt").write_text("old")
    kill = "os.kill(os.getpid(), 9)"
    code = (
        "import os\nfrom pathlib import Path\nfrom s2kit import atomic\n"
        "with atomic.replacing(Path('a.txt')) as draft:\n"
        f"    draft.write_text('ne'); {kill if moment == 'before' else ''}\n"
        "    draft.write_text('new')\n"
        f"    {f'atomic.sync = lambda paths: {kill}' if moment == 'in' else ''}\n"
        f"{kill}\n"
    )
    done = run(code, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / "a.txt").read_text() == ("new" if moment == "after" else "old")


def test_sync_takes_files_and_folders(tmp_path, monkeypatch):
    """Files and the names in folders are synced, also where the system has no ``syncfs``."""
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_text("x")
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(atomic.os, "fsync", lambda handle: (synced.append(handle), fsync(handle)))
    sync([*files, tmp_path])
    assert len(synced) == 4
    sync_all(tmp_path, files)
    monkeypatch.setattr(atomic, "_syncfs", lambda: None)
    synced.clear()
    sync_all(tmp_path, files)
    assert len(synced) == 3
    with pytest.raises(FileNotFoundError):
        sync([tmp_path / "none"])


def test_systems_without_syncfs(tmp_path, monkeypatch):
    """Windows has no C library without a name, and old kernels do not know the call."""
    (tmp_path / "a").write_bytes(b"a")

    def no_library(name, **_):
        raise TypeError("argument of type 'NoneType' is not iterable")

    def unknown(_):
        ctypes.set_errno(errno.ENOSYS)
        return -1

    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.fstat(handle).st_ino))
    atomic._syncfs.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", no_library)
    atomic.sync_all(tmp_path, [tmp_path / "a"])
    monkeypatch.setattr(atomic, "_syncfs", lambda: unknown)
    atomic.sync_all(tmp_path, [tmp_path / "a"])
    monkeypatch.undo()
    atomic._syncfs.cache_clear()
    assert synced == [(tmp_path / "a").stat().st_ino] * 2


WRITERS = {
    "replacing": (
        "a.txt",
        "from s2kit.atomic import replacing\nfrom pathlib import Path\n"
        "with replacing(Path('a.txt')) as draft: draft.write_text('new')",
    ),
    "save_table": (
        "a.csv",
        "import s2kit, pandas as pd\ns2kit.save_table(pd.DataFrame({'a': [1]}), 'a.csv')",
    ),
    "write_result": (
        "a.zarr",
        "import s2kit, numpy as np, xarray as xr, rioxarray\n"
        "map = xr.DataArray(np.ones((2, 2)), dict(y=[15., 5.], x=[5., 15.]), ('y', 'x'))\n"
        "s2kit.write_result(map.rio.write_crs(32631), 'a.zarr')",
    ),
    "notebook's note": (
        "out.took.json",
        "import subprocess, sys; from pathlib import Path\n"
        f"sys.path.append({str(ROOT / 'tools')!r}); import run_notebook\n"
        "subprocess.run = lambda *a, **k: subprocess.CompletedProcess(a, 0)\n"
        "run_notebook.run(Path('in.ipynb'), Path('out.ipynb'))",
    ),
    "practice marker": (
        "practice.json",
        "from pathlib import Path; from s2kit.practice import writing\nwriting._mark(Path(), [])",
    ),
}


@pytest.mark.parametrize(("name", "code"), WRITERS.values(), ids=WRITERS)
def test_what_is_written_is_on_the_disk_before_it_is_seen(tmp_path, name, code):
    """The system is asked to sync the draft, to rename it, and to sync the name, in this order."""
    if not shutil.which("strace"):
        missing = "strace is missing"
        pytest.fail(missing) if os.environ.get("S2KIT_REQUIRE") else pytest.skip(missing)
    calls = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2"
    done = run(code, tmp_path, "strace", "-f", "-qq", "-y", "-e", calls, "-o", "../trace")
    assert done.returncode == 0 and (tmp_path / name).exists(), done.stderr
    lines = (tmp_path / "../trace").read_text().splitlines()
    place = re.escape(os.fspath(tmp_path.resolve()))
    draft = rf"{place}/\.s2kit-\w+/{re.escape(name)}"
    synced = _find(lines, rf"sync(fs)?\(\d+<{draft}>")
    renamed = _find(lines, rf'rename.*/{re.escape(name)}".*"[^"]*{re.escape(name)}"')
    named = _find(lines, rf"fsync\(\d+<{place}>\)")
    assert synced[0] < renamed[0] < named[-1], "\n".join(lines)


def _find(lines: list[str], pattern: str) -> list[int]:
    found = [n for n, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"no {pattern} in\n" + "\n".join(lines)
    return found
