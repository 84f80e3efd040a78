"""Make the README's picture of the page: `af-otel up`, run the example, then this.

.venv/bin/python tools/screenshots.py [--state DIR] [--session ID]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright

from af_otel.local import control
from af_otel.local.servers import find
from af_otel.local.state import State

PICTURE = Path(__file__).parents[1] / "docs" / "page.png"
LARGEST = 200_000  # bytes; a checkout is not to grow with each new picture
WIDTH, HEIGHT = 1200, 960


def main() -> int:
    """Open the session, and take a picture of what is seen of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path)
    parser.add_argument("--session", default="last")
    given = parser.parse_args()
    url = control.require(State.at(given.state)).urls["page"]
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=find("chromium").path, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{url}/#/session/{quote(given.session)}")
        page.wait_for_selector(".rows .row")
        page.wait_for_selector(".overview rect")
        page.mouse.move(0, 0)
        page.screenshot(path=PICTURE)
        browser.close()
    size = PICTURE.stat().st_size
    print(f"{PICTURE}: {size / 1000:.0f} kB")
    return 0 if size < LARGEST else 1


if __name__ == "__main__":
    sys.exit(main())
