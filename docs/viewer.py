"""Take the pictures of the viewers, for README and site: ``.venv/bin/python docs/viewer.py``."""

import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
MOMENT = "moment=2022-06-14T10:46:19"


def take(notebook: str, state: str, target: Path) -> None:
    """Serve the notebook, open its viewer in Chromium, and save what it shows."""
    command = [sys.executable, "-m", "panel", "serve", f"notebooks/{notebook}.ipynb"]
    command += ["--address", "127.0.0.1", "--port", "5213"]
    server = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        with sync_playwright() as player:
            chromium = player.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = chromium.new_page(viewport={"width": 1280, "height": 760})
            next(line for line in server.stderr if "app running" in line)
            page.goto(f"http://127.0.0.1:5213/{notebook}?{state}", timeout=120_000)
            page.locator(".bk-Figure").filter(visible=True).first.wait_for(timeout=60_000)
            page.wait_for_timeout(20_000)  # the pictures are drawn
            page.screenshot(path=target)
    finally:
        server.terminate()
    Image.open(target).convert("RGB").quantize(256).save(target, optimize=True)


if __name__ == "__main__":
    take("02_query_in_time", MOMENT, ROOT / "docs" / "viewer.png")
    take("03_ndvi_statistics", "", ROOT / "docs" / "statistics.png")
