"""The browser that tests drive."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from af_otel.local.servers import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def running_browser(*options: str) -> Iterator[Browser]:
    """A headless Chromium: the machine's, else the one of `make browser`."""
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=find("chromium").path, args=[*QUIET, *options]
        )
        yield browser
        browser.close()
