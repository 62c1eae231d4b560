"""A real Chromium, driven as a person drives it. Without one on the PATH a test that needs it is skipped."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page, TimeoutError, ViewportSize, expect, sync_playwright

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
SCREENSHOTS: Final = "EXTEND_PIPELINE_SCREENSHOTS"
"""Names the folder of the screenshots. Without it none are taken."""

WAIT_S: Final = 60.0
"""For so long a page may take to show what it should, on a machine that also runs Dagster and films."""

REOPEN_S: Final = 10.0
USUAL: Final[ViewportSize] = {"width": 1280, "height": 800}


class Screen:
    """A page of a site, and the folder of its screenshots."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self._url = page, url
        self._folder = os.environ.get(SCREENSHOTS)

    def open(self, path: str) -> None:
        """Open a page of the site by its path."""
        self.page.goto(f"{self._url}{path}", wait_until="commit")

    def open_until(self, path: str, text: str | re.Pattern[str], *, within_s: float) -> None:
        """Open a page again and again until it shows a text (a part, of any case) or a pattern, because some pages show
        what was when they were opened."""
        until = time.monotonic() + within_s
        while True:
            self.open(path)
            try:
                return self.page.get_by_text(text).first.wait_for(timeout=REOPEN_S * 1000)
            except TimeoutError:
                if time.monotonic() > until:
                    raise

    def shoot(self, name: str) -> None:
        """Take a screenshot, if there is a folder for it."""
        if self._folder:
            self.page.screenshot(path=Path(self._folder) / f"{name}.png", animations="disabled")


def require_browser() -> str:
    """Return the path of a Chromium; skip the test without one."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser is on the PATH: {', '.join(PROGRAMS)}")
    return program


@contextmanager
def open_screen(program: str, url: str) -> Iterator[Screen]:
    """Start a Chromium without a window and yield an empty page of a site; end it after the block. Where the block
    fails, a screenshot shows the page as it was."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport=USUAL)
        page.set_default_timeout(WAIT_S * 1000)
        expect.set_options(timeout=WAIT_S * 1000)
        screen = Screen(page, url)
        try:
            yield screen
        except BaseException:
            screen.shoot("failed")
            raise
        finally:
            browser.close()
