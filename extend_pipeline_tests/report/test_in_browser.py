"""A real Chromium shows the page whole on a phone and a screen, in light and dark, and asks nothing of any network."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from extend_pipeline.report.write import write_report
from extend_pipeline_tests.support.processes.browser import SCREENSHOTS, require_browser

WIDTHS = (400, 1280)


@pytest.fixture(scope="module")
def address(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a report about the odd file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return write_report(odd, path, timezone="Europe/Berlin").path.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_shown_whole(address: str, scheme: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require_browser())
        colours = set()
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            asked: list[str] = []
            said: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))  # type: ignore[misc]
            page.on("console", lambda message, said=said: said.append(message.text))  # type: ignore[misc]
            page.goto(address)
            assert asked == [address]
            assert said == []  # neither a script nor a style was refused
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.locator("figure svg").count() == 5
            shown = [box for box in (chart.bounding_box() for chart in page.locator("figure svg").all()) if box]
            assert all(box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] > 40 for box in shown)
            colours |= {_colour(page, place) for place in ("body", "figure svg text", "td")}
            if folder := os.environ.get(SCREENSHOTS):
                page.screenshot(path=Path(folder) / f"report-{scheme}-{width}.png", full_page=True)
        browser.close()
    # words in charts and tables have the colour of the page's
    assert colours == {"rgb(28, 33, 39)" if scheme == "light" else "rgb(230, 233, 237)"}


def _colour(page: Page, place: str) -> str:
    """Return the colour of the words of the first element of a kind."""
    attribute = "fill" if "svg" in place else "color"
    return str(page.eval_on_selector(place, f"element => getComputedStyle(element).{attribute}"))
