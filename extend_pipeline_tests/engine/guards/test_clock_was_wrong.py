"""Work that was begun while the machine's clock was wrong by hours or a day, with all four providers: once the clock is
right, everything is polled and fetched at once, and nothing is paid twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.doubt.recover import has_settled
from extend_pipeline.engine.guards.clock import ledger_ahead_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.poll import poll_due
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.engine.guards.test_clock_an_hour_off import provider_at
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive, entry, source_id
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same

HOUR_S, DAY_S = 3_600, 86_400
OFF = pytest.mark.parametrize(
    "off_s",
    [2 * HOUR_S, DAY_S, 10 * 365 * DAY_S, -DAY_S],
    ids=["2 h ahead", "a day ahead", "years ahead", "a day behind"],
)
MakeHome = Callable[..., EngineHome]


@pytest.fixture
def everything(make_home: MakeHome, ledger_url: str) -> EngineHome:
    """Return a home with one video of each provider, on SQLite and on PostgreSQL."""
    home = make_home(ledger_url=ledger_url)
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    entries = [entry("k-0", source_id(0)), *(planted(home, provider, 0) for provider in OTHERS)]
    accounts = [account(home.sandbox.base_url), *(other_account(name, home.sandbox.base_url) for name in OTHERS)]
    home.write(entries, *accounts)
    return home


@contextmanager
def off_by(home: EngineHome, off_s: float) -> Iterator[Pipeline]:
    """Open the home as a process does whose clock is `off_s` off."""
    with home.open(JumpClock(int(off_s * 1000)), make_provider=provider_at(off_s)) as pipeline:
        yield pipeline


def states(pipeline: Pipeline) -> dict[str, str]:
    """Return the state of the newest attempt of each account."""
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        rows = connection.execute(select(table.c.account, table.c.state).order_by(table.c.seq))
        return {row.account: row.state for row in rows}


@OFF
def test_tasks_submitted_with_a_wrong_clock_are_fetched_at_once_with_a_right_one(
    off_s: int, everything: EngineHome, tmp_path: Path
) -> None:
    with off_by(everything, off_s) as pipeline:
        advance(pipeline, publish=False)
        assert states(pipeline) == {"k": "rejected", **dict.fromkeys(OTHERS, "submitted")}
        (held,) = (video.blocker for video in status(pipeline).plan.videos if video.account == "k")
        assert held is not None
        assert held.reason is BlockReason.WRONG_CLOCK
        advance(pipeline, publish=False)
        assert len(everything.sandbox.charges()["charges"]) == len(OTHERS), "nothing is claimed by a wrong clock"
    with everything.open() as pipeline:
        assert (ledger_ahead_ms(pipeline) > 0) == (off_s > 0)
        advance(pipeline, publish=False)
        assert states(pipeline) == {"k": "submitted", **dict.fromkeys(OTHERS, "stored")}
        assert ledger_ahead_ms(pipeline) == 0
        assert {video.state for video in drive(pipeline, publish=True).videos} == {VideoState.COMPLETE}
        assert reckon(everything, pipeline.ledger).charges == 1 + len(OTHERS)
        replays_to_the_same(pipeline.ledger, tmp_path)


def test_a_result_that_could_not_be_fetched_while_the_clock_was_ahead_is_fetched_at_once(
    everything: EngineHome,
) -> None:
    with everything.open() as pipeline:
        advance(pipeline, publish=False)
    everything.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 50}])
    with off_by(everything, DAY_S) as pipeline:
        advance(pipeline, publish=False)
        assert {states(pipeline)[name] for name in ("kling-gateway", "luma")} == {"succeeded"}
    everything.sandbox.clear_faults()
    with everything.open() as pipeline:
        advance(pipeline, publish=False)
        assert {states(pipeline)[name] for name in OTHERS} == {"stored"}
        assert reckon(everything, pipeline.ledger).charges == 1 + len(OTHERS)


def test_an_account_that_a_wrong_clock_stopped_goes_on_with_a_right_one(everything: EngineHome) -> None:
    """The refusal of a poll is the clock's fault as well; a pause by the operator outlives it."""
    with everything.open() as pipeline:
        advance(pipeline, publish=False)
    with off_by(everything, -DAY_S) as pipeline:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            tx.append("account_paused", account="k", data={"why": "lunch"})
            tx.connection.execute(tables.schedule.update().values(due_at=0))
        advance(pipeline, publish=False)
        (stopped,) = (account for account in status(pipeline).accounts if account.account == "k")
        assert stopped.stopped is not None
        assert stopped.stopped.startswith("clock")
    with everything.open() as pipeline:
        advance(pipeline, publish=False)
        (paused,) = (account for account in status(pipeline).accounts if account.account == "k")
        assert (paused.stopped, paused.paused) == (None, True)
        assert set(states(pipeline).values()) == {"stored"}


def test_an_account_that_a_wrong_clock_stopped_is_asked_once_in_ten_seconds(home: EngineHome) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock, make_provider=provider_at(HOUR_S)) as pipeline:
        advance(pipeline, publish=False)
        assert [account.stopped is not None for account in status(pipeline).accounts] == [True]

        def is_asked(skipped_ms: int) -> bool:
            clock.skip(skipped_ms)
            before = home.sandbox.requests()["total"]
            poll_due(pipeline)
            return bool(home.sandbox.requests()["total"] > before)

        skips = (0, 0, 5_000, 5_000, -HOUR_S * 1000, 0)  # the clock is set back by an hour
        assert [is_asked(ms) for ms in skips] == [True, False, False, True, True, False]


def test_a_running_task_is_overdue_by_its_providers_date_and_not_by_a_clock_that_was_ahead(
    make_home: MakeHome, ledger_url: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url, run_time=(500, 500))
    home.seeded(1, steps=1)
    with home.open(JumpClock(DAY_S * 1000)) as pipeline:  # only what the ledger dates is wrong
        advance(pipeline, publish=False)
    with home.open() as pipeline:
        advance(pipeline, publish=False)
        pipeline.now_ms.skip(1.1 * HOUR_S * 1000)  # type: ignore[attr-defined]
        (video,) = plan(plan_input(pipeline)).videos
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.OVERDUE
        replays_to_the_same(pipeline.ledger, tmp_path)


def test_a_doubt_that_is_dated_after_now_settles_by_its_absences(home: EngineHome) -> None:
    home.write([])
    home.accounts(account(in_doubt={"settle": 600, "absences": 3}))
    with home.open() as pipeline:
        ours, now_ms = pipeline.accounts["k"], pipeline.now_ms()
    assert schedule.lookup_gap_ms(ours) == 200_000
    assert has_settled(now_ms - 600_000, now_ms, ours, absences=3)
    assert not has_settled(now_ms - 599_000, now_ms, ours, absences=9)
    ahead_ms = now_ms + DAY_S * 1000
    assert [has_settled(ahead_ms, now_ms, ours, absences=count) for count in (3, 4)] == [False, True]


@pytest.mark.parametrize("off_s", [-DAY_S, 2 * HOUR_S])
def test_a_doubt_dated_by_a_wrong_clock_is_found_with_a_right_one(off_s: int, home: EngineHome) -> None:
    home.seeded(2, steps=1)
    home.sandbox.faults([{"kind": "reset_after", "where": "submit", "times": 1}])
    with home.open(JumpClock(off_s * 1000)) as pipeline:  # only what the ledger dates is wrong
        advance(pipeline, publish=False)
    with home.open() as pipeline:
        advance(pipeline, publish=False)
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 2
