"""A media folder that can't be written is noticed before the first step is bought, and work goes on once it can be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.home import TRY_WRITE_MS
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.submit.submit import SubmitReport, submit_due
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline_tests.engine.submit.test_full_disk import finishes, full_tmpfs
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock
from extend_pipeline_tests.support.processes.bounded import run_bounded
from extend_pipeline_tests.support.user_texts import check_user_text


@contextmanager
def read_only(media: Path) -> Iterator[None]:
    """Mount a read-only file system on the media folder."""
    with full_tmpfs(media, size="64m"):
        subprocess.run(["mount", "-o", "remount,ro", str(media)], check=True)
        yield


@contextmanager
def of_another_user(media: Path) -> Iterator[None]:
    """Make a media folder that may only be read."""
    media.mkdir(parents=True)
    media.chmod(0o500)
    yield
    media.chmod(0o700)


@contextmanager
def a_link_that_leads_nowhere(media: Path) -> Iterator[None]:
    """Have a link to a folder that is not mounted in the place of the media folder."""
    media.parent.mkdir(parents=True, exist_ok=True)
    media.symlink_to(media.parent / "films")
    yield
    media.unlink()


@contextmanager
def a_file(media: Path) -> Iterator[None]:
    """Put a file in the place of the media folder."""
    media.parent.mkdir(parents=True, exist_ok=True)
    media.write_text("")
    yield
    media.unlink()


@contextmanager
def a_file_for_downloads(media: Path) -> Iterator[None]:
    """Put a file in the place of the folder of unfinished downloads."""
    with a_file(media / ".incoming"):
        yield


@pytest.mark.parametrize(
    "unwritable", [read_only, of_another_user, a_link_that_leads_nowhere, a_file, a_file_for_downloads]
)
def test_nothing_is_bought_while_films_can_not_be_written(
    unwritable: Callable[[Path], AbstractContextManager[None]], home: EngineHome
) -> None:
    home.seeded(2, steps=1)
    with unwritable(home.settings.media_dir):
        arguments = ("advance", "--until-idle", "--max-seconds", "20", "--json")
        done = run_bounded(home, *arguments, plain_user=True)
        assert done.returncode == 1, done.stderr
        assert done.stderr == ""
        assert home.sandbox.charges()["charges"] == []
        videos = json.loads(done.stdout)["videos"]
        assert [video["obstacle"]["kind"] for video in videos] == [BlockReason.NO_DISK_SPACE] * 2
        message = videos[0]["obstacle"]["message"]
        check_user_text(message)
        named = message.partition(" can't be written")[0]
        assert Path(named).is_relative_to(home.settings.media_dir)
        assert (Path(named).name == ".incoming") is (unwritable is a_file_for_downloads)
        for verb in ("plan", "status"):
            shown = run_bounded(home, verb, plain_user=True)
            assert shown.returncode == 1
            assert message.partition(" (")[0] in shown.stdout  # then the free bytes, which other programs change
        findings = json.loads(run_bounded(home, "doctor", "--offline", "--json", plain_user=True).stdout)["findings"]
        assert "media" in {finding["check"] for finding in findings if finding["level"] == "problem"}
    finishes(home, charges=2)


def test_a_folder_that_a_file_replaces_during_a_run_is_noticed_before_the_next_wave(home: EngineHome) -> None:
    home.seeded(2, steps=1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        planned = plan(plan_input(pipeline))
        with a_file(home.settings.media_dir):
            clock.skip(TRY_WRITE_MS)
            assert submit_due(pipeline, planned) == SubmitReport()
        clock.skip(TRY_WRITE_MS)
        assert sorted(submit_due(pipeline, planned).accepted) == ["v000/1", "v001/1"]
    finishes(home, charges=2)


def test_the_folder_is_not_tried_with_each_plan_and_wave(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.seeded(3, steps=1)
    home.options["max_submits"] = 1
    with home.open(clock := JumpClock()) as pipeline:
        tries: list[int] = []
        monkeypatch.setattr(pipeline.store, "try_write", lambda: tries.append(clock()))
        declare_catalogue(pipeline)
        assert len(submit_due(pipeline, plan(plan_input(pipeline))).accepted) == 3
        assert len(tries) == 1
        clock.skip(TRY_WRITE_MS)
        plan(plan_input(pipeline))
        assert len(tries) == 2
