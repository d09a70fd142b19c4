"""The picture in the README: the top of a report in a headless Chromium.

    python tests/dse/report_picture.py runs/quickstart/report.html studies/report.png
"""

import shutil
import sys
from pathlib import Path


def main(page: str, picture: str) -> None:
    """Take it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        chromium = shutil.which("chromium-headless-shell") or shutil.which("chromium")
        browser = engine.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1500, "height": 1320}, device_scale_factor=1.2)
        tab.goto(Path(page).resolve().as_uri())
        tab.wait_for_selector("html.ready", timeout=180_000)
        tab.wait_for_timeout(500)
        tab.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
