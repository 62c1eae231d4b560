"""A real Chromium, driven as a person drives it. Without one on the PATH a test that needs it is skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, sync_playwright

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SCREENSHOTS: Final = "EXTEND_PIPELINE_SCREENSHOTS"
"""Names the folder of the screenshots. Without it none are taken."""

WAIT_S: Final = 60.0
"""For so long a page may take to show what it should, on a machine that also runs Dagster and films."""


class Screen:
    """A page of a site, and the folder of its screenshots."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url
        self._folder = os.environ.get(SCREENSHOTS)

    def open(self, path: str) -> None:
        """Open a page of the site by its path."""
        self.page.goto(f"{self._url}{path}", wait_until="commit")

    def shoot(self, name: str) -> None:
        """Take a screenshot, if there is a folder for it."""
        if self._folder:
            self.page.screenshot(path=Path(self._folder) / f"{name}.png")


def require_browser() -> str:
    """Return the path of a Chromium; skip the test without one."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser is on the PATH: {', '.join(PROGRAMS)}")
    return program


@contextmanager
def open_screen(program: str, url: str, *, width: int = 1280, height: int = 800) -> Iterator[Screen]:
    """Start a Chromium without a window and yield an empty page of a site; end it after the block. Where the block
    fails, a screenshot shows the page as it was."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT_S * 1000)
        screen = Screen(page, url)
        try:
            yield screen
        except BaseException:
            screen.shoot("failed")
            raise
        finally:
            browser.close()
