"""Output that can't be written: the command ends with a sentence and an exit code of the table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from extend_pipeline_tests.support.home.homes import video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

COMMAND = f"exec {sys.executable} -m extend_pipeline.cli --home"


def run(home: Path, redirected: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"{COMMAND} {home} plan {redirected}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one")])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_under_the_output_is_not_blamed_on_the_films(home: Path) -> None:
    done = run(home, "> /dev/full")
    assert done.returncode == 1
    check_user_text(done.stderr)


def test_output_that_the_shell_has_closed_is_no_error(home: Path) -> None:
    done = run(home, ">&- 2>&- <&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
