"""Dagster's UI of a real `dev`, in a real browser, as a person walks through it: what the tutorial shows is there.

With EXTEND_PIPELINE_SCREENSHOTS set to a folder, each page is photographed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Error, Locator, expect

from extend_pipeline.commands.demo.processes import is_up
from extend_pipeline_tests.support.home.demo import write_demo
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.processes.browser import Screen, open_screen, require_browser
from extend_pipeline_tests.support.servers.ports import free_port

ASSETS: Final = (
    "source_videos",
    "extension_requests",
    "completed_extensions",
    "extension_lineage",
    "extension_costs",
    "extension_durations",
)
TABLES: Final = ASSETS[3:]
VIDEO: Final = "harbour-dawn"
APART: Final = ("cat-dance", "market-evening", "street-dance")  # no two of them are neighbours
DONE_WITHIN_S: Final = 240.0  # ten videos of the demo


@contextmanager
def running_dev(home: Path, port: int) -> Iterator[str]:
    """Run `dev` over a home until the end of the block; yield the UI's address once it responds."""
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(home), "dev", "--port", str(port)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: process.poll() is not None or is_up(f"{url}/server_info"), within=120)
        assert process.poll() is None, process.communicate()[0]
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.timeout(500)
def test_a_person_follows_the_videos(tmp_path: Path) -> None:
    program = require_browser()
    with running_dev(write_demo(tmp_path / "demo"), free_port()) as url, open_screen(program, url) as screen:
        pass
