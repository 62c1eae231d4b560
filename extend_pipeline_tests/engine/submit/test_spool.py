"""Tasks that were accepted while the ledger could not be written: their ids are spooled and replayed."""

from __future__ import annotations

import logging
import signal
import stat
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import event

from extend_pipeline.base import failpoints
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.resolve import Resolved, adopt, write_off
from extend_pipeline.engine.status import status
from extend_pipeline.engine.submit.spool import UnrecordedError
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.protocol import Provider, SubmitOutcome, SubmitRequest
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, impatient_provider
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.mark.parametrize("provider", OTHERS)
def test_a_response_that_the_ledger_could_not_record_is_spooled_and_replayed(provider: str, home: EngineHome) -> None:
    other_home(home, provider, 2)
    with home.open(JumpClock()) as pipeline:
        failpoints.arm("submit.before_outcome=raise")
        with pytest.raises(UnrecordedError) as unrecorded:
            advance(pipeline, publish=False)
        # of two responses that arrive together, both are named
        named = str(unrecorded.value).replace(f"{provider}-1/1", f"{provider}-0/1").split("; account ")
        check_user_text("; account ".join(named[:2]))
        spooled = sorted((home.settings.state_dir / "answers").iterdir())
        assert 1 <= len(spooled) <= 2
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in spooled)
        assert stat.S_IMODE(spooled[0].parent.stat().st_mode) == 0o700
        failpoints.disarm()
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert status(pipeline).doubts == ()
        totals = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert totals.charges == totals.states["stored"] == 2
    assert list((home.settings.state_dir / "answers").iterdir()) == []


def test_a_spooled_response_waits_while_another_ledger_is_opened(home: EngineHome) -> None:
    other_home(home, "luma", 1)
    with home.open(JumpClock()) as pipeline:
        failpoints.arm("submit.before_outcome=raise")
        with pytest.raises(UnrecordedError):
            advance(pipeline, publish=False)
        failpoints.disarm()
    mistyped = EngineHome(home.path, home.sandbox, f"sqlite:///{home.path}/typo.sqlite")
    with mistyped.open(JumpClock()) as pipeline:
        drive(pipeline)
    with home.open(JumpClock()) as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1
    assert list((home.settings.state_dir / "answers").iterdir()) == []


def test_a_response_replayed_after_a_write_off_is_adopted_and_its_film_fetched(home: EngineHome) -> None:
    """The spool folder was out of reach while the operator decided."""
    other_home(home, "vidu", 1)
    with home.open(clock := JumpClock()) as pipeline:
        failpoints.arm("submit.before_outcome=raise")
        with pytest.raises(UnrecordedError):
            advance(pipeline, publish=False)
        failpoints.disarm()
        folder = home.settings.state_dir / "answers"
        away = folder.rename(home.path / "away")
        clock.skip(60_000)
        advance(pipeline, publish=False)
        why = "not in the console"
        assert isinstance(write_off(pipeline, "vidu-0/1", who="ann", why=why), Resolved)
        folder.rmdir() if folder.exists() else None
        away.rename(folder)
        drive(pipeline)
        totals = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert (totals.charges, totals.states) == (1, {"written_off": 1, "stored": 1})
    assert list(folder.iterdir()) == []


def test_a_ledger_that_is_full_for_a_moment_loses_no_task(home: EngineHome) -> None:
    other_home(home, "vidu", 1)
    with home.open(JumpClock()) as pipeline:
        failing = {"left": 1}

        def fill_up(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            # the events table may not grow while the response is recorded: SQLite itself raises "full"
            if "attempt_submitted" in str(_rest[0]) and failing["left"]:
                failing["left"] -= 1
                pages = _cursor.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
                _cursor.execute(f"PRAGMA max_page_count={pages}")  # type: ignore[attr-defined]
                _cursor.execute("CREATE TABLE filler AS SELECT zeroblob(10000000) AS blank")  # type: ignore[attr-defined]

        event.listen(pipeline.ledger.engine, "before_cursor_execute", fill_up)
        with pytest.raises(UnrecordedError, match="full"):
            drive(pipeline)
        assert failing["left"] == 0
        pipeline.ledger.close()
    with home.open(JumpClock()) as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


def test_where_nothing_can_be_spooled_the_log_names_the_task_and_the_command(
    home: EngineHome, caplog: pytest.LogCaptureFixture
) -> None:
    other_home(home, "luma", 1)
    with home.open(JumpClock()) as pipeline:
        home.settings.state_dir.mkdir(parents=True, exist_ok=True)
        (home.settings.state_dir / "answers").write_text("a file where the folder should be")
        failpoints.arm("submit.before_outcome=raise")
        with caplog.at_level(logging.ERROR), pytest.raises(UnrecordedError):
            drive(pipeline)
        failpoints.disarm()
        (task,) = home.sandbox.tasks()
        critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
        assert len(critical) == 1
        assert task["task_id"] in critical[0]
        check_user_text(critical[0])
        (home.settings.state_dir / "answers").unlink()
        clock = pipeline.now_ms
        assert isinstance(clock, JumpClock)
        clock.skip(60_000)
        advance(pipeline, publish=False)  # the lease is over: it is in doubt
        assert [doubt.attempt.where for doubt in status(pipeline).doubts] == ["luma-0/1"]
        assert isinstance(adopt(pipeline, "luma-0/1", task["task_id"], who="ann", why="the log"), Resolved)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


@pytest.mark.parametrize("provider", OTHERS)
def test_a_ledger_failure_in_the_middle_of_a_wave_records_the_responses_to_what_was_sent(
    provider: str, home: EngineHome
) -> None:
    other_home(home, provider, 3)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        failpoints.arm("submit.before_sending=raise@3")
        with pytest.raises(failpoints.FailpointError):
            drive(pipeline)
        failpoints.disarm()
        assert len(home.sandbox.tasks()) == 2
        clock.skip(60_000)
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert status(pipeline).doubts == ()
        assert reckon(home, pipeline.ledger).states == {"stored": 3, "released": 1}


class _Cancelled(BaseException):
    """Cancels a run: it is raised in the main thread."""


@dataclass
class _CancelledMeanwhile:
    """A real provider; the run is cancelled before the response to a POST is returned."""

    real: Provider
    waiting: threading.Event

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        outcome = self.real.submit(request)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert self.waiting.wait(10)
        return outcome


def test_a_cancelled_run_records_the_responses_that_are_on_their_way(home: EngineHome) -> None:
    other_home(home, "luma", 1)
    cancelled = threading.Event()

    def cancel(*_: object) -> None:
        cancelled.set()
        raise _Cancelled

    def make(account: Account, *, settings: Settings) -> Any:
        return _CancelledMeanwhile(impatient_provider(account, settings=settings), cancelled)

    before = signal.signal(signal.SIGUSR1, cancel)
    try:
        with home.open(JumpClock(), make_provider=make) as pipeline, pytest.raises(_Cancelled):
            drive(pipeline)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with home.open(JumpClock()) as pipeline:
        assert status(pipeline).plan.videos[0].running is not None
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).states == {"stored": 1}
