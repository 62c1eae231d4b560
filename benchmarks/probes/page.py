"""How long a page takes in headless Chromium until it shows a text that matches a pattern. Prints the `seconds` of each
of TIMES openings, none of which finds anything in a cache; LIMIT (s) where one took longer.

`python -m benchmarks.probes.page CHROMIUM URL PATTERN LIMIT`
"""

from __future__ import annotations

import re
import sys
import time

from playwright.sync_api import Browser, TimeoutError, sync_playwright

from benchmarks.probes.home import report

TIMES = 2


def main() -> None:
    """Open the page TIMES times."""
    program, url, pattern, limit_s = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        seconds = [_opened(browser, url, re.compile(pattern), float(limit_s)) for _ in range(TIMES)]
        browser.close()
    report(seconds=seconds)


def _opened(browser: Browser, url: str, pattern: re.Pattern[str], limit_s: float) -> float:
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    began = time.perf_counter()
    try:
        page.goto(url, wait_until="commit", timeout=limit_s * 1000)
        page.get_by_text(pattern).first.wait_for(timeout=limit_s * 1000)
        return time.perf_counter() - began
    except TimeoutError:
        return limit_s
    finally:
        page.close()


if __name__ == "__main__":
    main()
