"""Dagster's UI of a real `dev`, in a real browser, as a person walks through it: what the tutorial shows is there."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Locator, ViewportSize, expect

from extend_pipeline.commands.demo.processes import is_up
from extend_pipeline_tests.support.home.demo import write_demo
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.processes.browser import USUAL, Screen, open_screen, require_browser
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text

VIDEOS: Final = ("source_videos", "extension_requests", "completed_extensions")
TABLES: Final = ("extension_lineage", "extension_costs", "extension_durations")
REPORT: Final = "extension_report"
ASSETS: Final = (*VIDEOS, *TABLES, REPORT)
VIDEO: Final = "harbour-dawn"
APART: Final = ("cat-dance", "market-evening", "street-dance")
"""Three of the demo's eleven videos, no two of which are neighbours in the list of partitions."""

TOO_OLD: Final = "old-lighthouse"  # can't be extended
WIDE: Final[ViewportSize] = {"width": 2160, "height": 900}  # so that the boxes of the graph show what is in them
LOCATION: Final = "/locations/extend_pipeline"
DONE_WITHIN_S: Final = 240.0  # the demo's ten other videos

RUN_ENDED_S: Final = 240.0


@contextmanager
def running_dev(home: Path) -> Iterator[str]:
    """Run `dev` over a home until the end of the block; yield the UI's address once it responds."""
    port = free_port()
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(home), "dev", "--port", str(port)]
    output = home / "dev.log"
    with output.open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: process.poll() is not None or is_up(f"{url}/server_info"), within=120)
        assert process.poll() is None, output.read_text()
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


@pytest.mark.timeout(1200)
def test_a_person_follows_the_videos(tmp_path: Path) -> None:
    program = require_browser()
    with running_dev(write_demo(tmp_path / "demo")) as url, open_screen(program, url) as screen:
        finds_the_graph(screen)
        waits_until_all_are_done(screen)
        sees_the_poster(screen)
        materializes_by_hand(screen)
        extends_three_in_one_run(screen)
        reads_what_needs_a_person(screen)
        reads_why_a_sensor_did_nothing(screen)
        writes_the_report(screen)
        sees_the_tables_synced(screen)


def finds_the_graph(screen: Screen) -> None:
    """Click Lineage, and unfold the two groups by the key that its menu names."""
    page = screen.page
    screen.open("/")
    page.get_by_text("Lineage", exact=True).first.click()
    for group in ("videos", "tables"):
        expect(page.locator("foreignObject", has_text=group)).to_have_count(1)
    page.set_viewport_size(WIDE)
    page.keyboard.press("Alt+e")
    for asset in ASSETS:
        expect(node(screen, asset)).to_be_visible()
    page.set_viewport_size(USUAL)


def node(screen: Screen, asset: str) -> Locator:
    """Return an asset's box in the graph."""
    return screen.page.locator("foreignObject", has_text=f"{asset}Latest event")


def waits_until_all_are_done(screen: Screen) -> None:
    """Look at the partitions of completed_extensions until all but the one that is too old are materialized, and their
    run has ended, which publishes the tables."""
    screen.open("/assets/completed_extensions?view=partitions")
    expect(screen.page.get_by_text("Materialized (10)")).to_be_visible(timeout=DONE_WITHIN_S * 1000)
    expect(screen.page.get_by_text("Missing (1)")).to_be_visible()
    screen.open_until("/assets/extension_lineage?view=events", "Materialized in run", within_s=RUN_ENDED_S)


def sees_the_poster(screen: Screen) -> None:
    """Open the partition of a video, whose frames show without a click."""
    page = screen.page
    screen.open("/assets/completed_extensions?view=partitions")
    page.get_by_text(VIDEO, exact=True).first.click()
    for name in ("poster_before", "poster_after", "poster_end"):
        frame = page.get_by_role("row", name=name).locator("img")
        expect(frame).to_be_visible()
        expect(frame).to_have_js_property("complete", True)
        width = frame.evaluate("image => image.naturalWidth")
        assert width > 50
    expect(page.get_by_role("row", name="spent_in_all")).to_contain_text("6 kling-unit = 0.84 USD")
    screen.shoot("partition")


def materializes_by_hand(screen: Screen) -> None:
    """Materialize the partition that is open, though it is complete."""
    page = screen.page
    page.get_by_role("button", name="Materialize").first.click()
    expect(page.get_by_text("Launch runs to materialize")).to_be_visible()
    screen.shoot("materialize")
    page.get_by_role("button", name="Launch 1 run").click()
    page.get_by_role("link", name="View", exact=True).click()
    ends_well(screen)
    screen.shoot("run")


def extends_three_in_one_run(screen: Screen) -> None:
    """Name three videos to extend_job in its launchpad."""
    page = screen.page
    screen.open(f"{LOCATION}/jobs/extend_job/playground")
    page.locator(".CodeMirror").first.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(f"ops: {{extend: {{config: {{videos: [{', '.join(APART)}]}}}}}}")
    launch = page.get_by_role("button", name="Launch Run")
    expect(launch).to_be_enabled()
    screen.shoot("launchpad")
    launch.click()
    ends_well(screen)
    page.get_by_role("button", name="View tags and config").click()
    expect(page.get_by_text(f"extend_pipeline/videos: 3 videos: {APART[0]}, {APART[1]}")).to_be_visible()
    screen.shoot("three-in-one-run")
    screen.open(f"{LOCATION}/jobs/extend_job/runs")
    expect(page.get_by_text("Manually launched")).to_have_count(1)


def ends_well(screen: Screen) -> None:
    """Wait until the run that is open has succeeded."""
    expect(screen.page).to_have_url(re.compile("/runs/[0-9a-f-]{36}"))
    expect(screen.page.get_by_text(re.compile("^(Success|Failure)$")).first).to_have_text(
        "Success", timeout=RUN_ENDED_S * 1000
    )


def reads_what_needs_a_person(screen: Screen) -> None:
    """Read the check that fails as long as something waits for a person."""
    page = screen.page
    checks = "/assets/extension_lineage?view=checks&checkDetail=nobody_is_needed"
    screen.open_until(checks, re.compile("^Failed$"), within_s=RUN_ENDED_S)
    finding = page.get_by_text(f"{TOO_OLD}: ").first
    expect(finding).to_be_visible()
    check_user_text(finding.inner_text())
    screen.shoot("needs")


def reads_why_a_sensor_did_nothing(screen: Screen) -> None:
    """Open a tick of a sensor that requested no run."""
    page = screen.page
    screen.open(f"{LOCATION}/sensors/kling_poll_sensor")
    tick = page.get_by_role("row").filter(has_text=re.compile("0 runs requested.*View logs")).first
    tick.get_by_text("0 runs requested").last.click()  # the first one in the row is its status
    reason = page.get_by_text("Skip reason:").locator("..")
    expect(reason).to_contain_text(
        re.compile(r"(nothing is due|run \S+ is (queued|starting|started)); \d+ tasks? polled")
    )
    screen.shoot("tick")


def writes_the_report(screen: Screen) -> None:
    """Materialize the report, which takes one click, and look at its numbers."""
    page = screen.page
    screen.open(f"/assets/{REPORT}")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_role("link", name="View", exact=True).click()
    ends_well(screen)
    screen.open_until(f"/assets/{REPORT}?view=events", "Materialized in run", within_s=RUN_ENDED_S)
    expect(page.get_by_role("row", name="videos_complete")).to_contain_text("10")
    screen.shoot("report")


def sees_the_tables_synced(screen: Screen) -> None:
    """Look at the graph, which is still unfolded, once it knows what is out of date."""
    page = screen.page
    page.set_viewport_size(WIDE)
    with page.expect_response(lambda response: "query AssetStale" in (response.request.post_data or "")) as compared:
        screen.open("/asset-groups")
    nodes = compared.value.json()["data"]["assetNodes"]
    assert {node["assetKey"]["path"][-1]: node["staleStatus"] for node in nodes} == dict.fromkeys(ASSETS, "FRESH")
    for table in TABLES:
        expect(node(screen, table)).to_contain_text("Materialized")
    for asset in ASSETS:
        expect(node(screen, asset)).not_to_contain_text("Unsynced")
    screen.shoot("graph")
