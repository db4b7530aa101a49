"""Take the README's picture of the time query: ``.venv/bin/python docs/viewer.py``."""

import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:5213/02_query_in_time?moment=2022-06-14T10:46:19"


def take(target: Path) -> None:
    """Serve the notebook, open it in Chromium, and save what it shows."""
    command = [sys.executable, "-m", "panel", "serve", "notebooks/02_query_in_time.ipynb"]
    command += ["--address", "127.0.0.1", "--port", "5213"]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        with sync_playwright() as player:
            chromium = player.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = chromium.new_page(viewport={"width": 1280, "height": 760})
            next(line for line in server.stderr if "app running" in line)
            page.goto(ADDRESS, timeout=60_000)
            page.get_by_role("status").get_by_text("UTC").wait_for(timeout=60_000)
            page.wait_for_timeout(3000)  # the pictures are drawn
            page.screenshot(path=target)
    finally:
        server.terminate()
    Image.open(target).convert("RGB").quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    take(ROOT / "docs" / "viewer.png")
