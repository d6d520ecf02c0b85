"""Take pictures of a page with the installed Chromium.

``python docs/picture.py PAGE PNG [WIDTH [light|dark]]``: what the first screen shows, 1200 pixels
wide and light by default.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HEIGHT = 900


def main(page_path: str, picture: str, width: str = "1200", scheme: str = "light") -> None:
    """Open a local page in headless Chromium and save what the first screen shows."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        sys.exit("docs/picture.py needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        size = {"width": int(width), "height": HEIGHT}
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.goto(Path(page_path).resolve().as_uri())
        page.wait_for_load_state("networkidle")
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
