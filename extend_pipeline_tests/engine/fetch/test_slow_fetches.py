"""Two processes and one result; the fetch of the first takes longer than its lease."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.fetch.collect import CollectReport, collect_due
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling.renewer import Renewer
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline_tests.support.home.engine_home import DAY_MS, QUICK, EngineHome, JumpClock
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text

LEASE_MS = int(QUICK["lease_s"] * 1000)
AT_DOWNLOAD = {"where": "download", "times": 99, "match": {"provider": "kling-gateway"}}
WHERE = "kling-gateway-0/1"
DOWNLOADING = 5  # looks at the clock: before it takes, whether anything is due, taking, beginning, and a piece came


@pytest.fixture(autouse=True)
def _renewed_by_the_fetch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread that renews leases, because it goes by real time and would read a clock that counts its readings."""
    monkeypatch.setattr(Renewer, "holding", lambda *_, **__: nullcontext())


class InterruptedClock:
    """A process's clock that, while `on`, calls `interrupt` before each reading."""

    def __init__(self, clock: JumpClock, interrupt: Callable[[], object]) -> None:
        self.clock, self.interrupt, self.looks, self.on = clock, interrupt, 0, False

    def __call__(self) -> int:
        if self.on:
            self.on = False  # `interrupt` reads clocks too
            self.looks += 1
            self.interrupt()
            self.on = True
        return self.clock()


def made_and_not_fetched(home: EngineHome, pipeline: Pipeline, clock: JumpClock) -> None:
    """Make one task of a gateway, ended and paid, whose result is due."""
    home.sandbox.faults([{"kind": "5xx_before", **AT_DOWNLOAD}])
    for _ in range(4):
        advance(pipeline, publish=False)
        clock.skip(500)
    home.sandbox.clear_faults()
    clock.skip(60_000)
    assert reckon(home, pipeline.ledger).states == {"succeeded": 1}


def holder(pipeline: Pipeline) -> str | None:
    """Return the owner of the result's lease, if there is one."""
    with pipeline.ledger.read() as connection:
        return connection.execute(select(tables.schedule.c.owner)).scalar_one_or_none()


def test_a_fetch_that_outlasts_its_lease_stays_with_its_process(home: EngineHome) -> None:
    other_home(home, "kling-gateway")
    clock = JumpClock()
    other_reports: list[CollectReport] = []

    def time_passes() -> None:
        # no longer than needed: how many pieces come, each of which renews the lease, differs
        if holder(second) == first.owner and clock.skipped_ms - began <= LEASE_MS:
            clock.skip(LEASE_MS * 0.45)
            other_reports.append(collect_due(second))

    interrupted = InterruptedClock(clock, time_passes)
    with home.open(interrupted) as first, home.open(clock) as second:
        made_and_not_fetched(home, first, clock)
        began, interrupted.on = clock.skipped_ms, True
        report = collect_due(first)
        interrupted.on = False
        assert clock.skipped_ms - began > LEASE_MS
        assert report.stored == [WHERE]
        assert other_reports == [CollectReport()] * len(other_reports), "the other process finds nothing to do"
        assert reckon(home, first.ledger).states == {"stored": 1}


def fetched_while_another_gives_up(home: EngineHome, then: Callable[[Pipeline], object]) -> tuple[str, str | None]:
    """Stop one process in the middle of a download, for so long that another claims the result and finds that it is
    gone; call `then`, and let the first go on. Return the attempt's state and error at the end."""
    other_home(home, "kling-gateway")
    clock = JumpClock()
    other_reports: list[CollectReport] = []

    def stopped_for_a_month() -> None:
        if other_reports or interrupted.looks < DOWNLOADING or holder(second) != first.owner:
            return
        assert list((home.settings.media_dir / ".incoming").iterdir()) != [], "it is being written"
        home.sandbox.faults([{"kind": "expired_url", **AT_DOWNLOAD}])
        home.sandbox.set_offset(31 * 86_400)
        clock.skip(31 * DAY_MS)
        other_reports.append(collect_due(second))
        then(second)

    interrupted = InterruptedClock(clock, stopped_for_a_month)
    with home.open(interrupted) as first, home.open(clock) as second:
        made_and_not_fetched(home, first, clock)
        interrupted.on = True
        collect_due(first)
        interrupted.on = False
        assert [report.lost for report in other_reports] == [[WHERE]]
        assert check_invariants(first.ledger) == []
        with first.ledger.read() as connection:
            [row] = connection.execute(select(tables.attempts.c.state, tables.attempts.c.error_reason))
        assert reckon(home, first.ledger).charges == 1
    return row.state, row.error_reason


def test_a_file_that_arrives_after_it_was_given_up_is_stored(home: EngineHome) -> None:
    assert fetched_while_another_gives_up(home, lambda pipeline: None) == ("stored", None)


def test_a_file_that_arrives_after_a_resubmit_is_reported(home: EngineHome, caplog: pytest.LogCaptureFixture) -> None:
    def pay_again(pipeline: Pipeline) -> None:
        resolution = resolve.resubmit(pipeline, WHERE, who="ann", why="it is gone")
        assert isinstance(resolution, resolve.Resolved)

    assert fetched_while_another_gives_up(home, pay_again) == ("result_lost", "expired")
    [message] = [message for message in caplog.messages if ".mp4" in message]
    name = next(part for part in message.split() if part.endswith(".mp4"))
    assert (home.settings.media_dir / name).stat().st_size > 0
    check_user_text(message, without={name: "FILE"})
