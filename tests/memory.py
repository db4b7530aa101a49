"""What a call takes of memory in a process of its own, and what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

MEMORY = 500
"""MB that a process may take that refuses, with all libraries of s2kit loaded. Linux tells it in
VmHWM; ``ru_maxrss`` holds also that of the process which started it."""

_ATTEMPT = """
import json, sys
from pathlib import Path
import s2kit
from s2kit.errors import S2KitError
try:
    CALL
    told = "read"
except S2KitError as error:
    told = str(error)
peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
print(json.dumps([told, int(peak) // 1024]))
"""


def attempt(call: str, place: Path) -> tuple[str, int]:
    """Run a call of s2kit, in which ``sys.argv[1]`` is a place.

    Returns
    -------
    str, int
        The message of its error, or "read", and the peak of memory in MB.
    """
    done = subprocess.run(
        [sys.executable, "-c", _ATTEMPT.replace("CALL", call), str(place)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    told, peak = json.loads(done.stdout.splitlines()[-1])
    print(f"{peak} MB: {told[-200:]}")
    return told, peak
