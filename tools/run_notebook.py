"""Run a notebook headless and note what it took: ``run_notebook.py IN.ipynb OUT.ipynb [OPTIONS]``.

With a folder alone, it prints the table of all that were run into it.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from s2kit.atomic import replacing

_TOOK = ".took.json"


def run(notebook: Path, output: Path, *options: str) -> int:
    """Run a notebook by papermill; note time and peak memory beside the result.

    It runs in its own folder, unless papermill's option ``--cwd`` is given again.

    Returns
    -------
    int
        Papermill's exit status, 0 if all is well.
    """
    took = output.with_suffix(_TOOK)
    took.unlink(missing_ok=True)
    command = [sys.executable, "-m", "papermill", "-k", "python3", "--cwd", notebook.parent]
    began = time.monotonic()
    done = subprocess.run([*command, notebook, output, *options], check=False)
    if done.returncode == 0:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
        note = {"seconds": time.monotonic() - began, "peak_mb": peak}
        with replacing(took) as draft:
            draft.write_text(json.dumps(note))
    return done.returncode


def table(folder: Path) -> str:
    """Return a table of what the notebooks took; peak memory is that of the largest process."""
    lines = [f"{'notebook':32}{'time':>11}{'peak memory':>12}"]
    for path in [*sorted(folder.glob(f"*{_TOOK}")), *sorted(folder.glob(f"exercises/*{_TOOK}"))]:
        note, name = json.loads(path.read_text()), path.relative_to(folder).as_posix()
        name = name.removesuffix(_TOOK)
        lines.append(f"{name:32}{note['seconds']:9.0f} s{note['peak_mb']:9.0f} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    first, *rest = sys.argv[1:]
    if not rest:
        print(table(Path(first)))
        sys.exit()
    sys.exit(run(Path(first), Path(rest[0]), *rest[1:]))
