"""A process of another host that is killed or stopped: its work goes on when its lease ends, and nothing is
paid for or written twice. Leases of living processes are renewed, also where nothing comes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import event, func, select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.fetch.collect import CollectReport, collect_due
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling.renewer import RENEWALS_A_LEASE
from extend_pipeline.ledger import tables
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, eventually
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.processes.children import Child, advancing

ELSEWHERE: Final = "another-host:77:123"
PRODUCTION: Final = {"post_deadline_s": 60.0, "lease_s": 90.0, "get_deadline_s": 30.0}
"""The settings' own deadlines and leases."""

LEASES_S: Final = {
    "submit.after_claim": 90,
    "submit.after_sending": 90,
    "submit.after_post": 90,
    "poll.before_query": 30,
    "collect.before_download": 45,
    "collect.mid_download": 45,
    "collect.before_stored": 45,
}
"""How long after a kill at a failpoint no other process continues, in seconds."""


def worker(home: EngineHome, points: str, *, skipped_ms: int = 0) -> Child:
    """Start a process that seems to run on another host."""
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    once = points.endswith("pause")
    return advancing(
        settings, home.path / "worker.txt", points=points, skipped_ms=skipped_ms, once=once, owner=ELSEWHERE
    )


def held(pipeline: Pipeline) -> set[tuple[str, str]]:
    """Return the attempts that the other host's process holds, with their states."""
    attempts, schedule = tables.attempts, tables.schedule
    query = select(attempts.c.video_key, attempts.c.state).outerjoin(
        schedule, schedule.c.attempt_id == attempts.c.attempt_id
    )
    claimed = attempts.c.state.in_(["claimed", "sending"]) & (attempts.c.owner == ELSEWHERE)
    with pipeline.ledger.read() as connection:
        rows = connection.execute(query.where(claimed | (schedule.c.owner == ELSEWHERE)))
        return {(row.video_key, row.state) for row in rows}


def events(pipeline: Pipeline, kind: str) -> int:
    """Return how many events of a kind the ledger has."""
    with pipeline.ledger.read() as connection:
        query = select(func.count()).select_from(tables.events).where(tables.events.c.kind == kind)
        return int(connection.execute(query).scalar_one())


def made_and_not_fetched(home: EngineHome, pipeline: Pipeline, clock: JumpClock, *, count: int) -> None:
    """Have tasks ended and paid, whose results are due."""
    home.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 99}])
    while reckon(home, pipeline.ledger).states != {"succeeded": count}:
        advance(pipeline, publish=False)
        clock.skip(500)
    home.sandbox.clear_faults()
    clock.skip(60_000)


@pytest.mark.parametrize(("point", "lease_s"), LEASES_S.items())
def test_what_a_killed_process_held_is_continued_within_its_lease(point: str, lease_s: int, home: EngineHome) -> None:
    entries = home.seeded(3)
    home.options |= PRODUCTION
    home.catalogue(entries[:1])
    with home.open() as pipeline:
        drive(pipeline)  # a task that is known to exist proves that a look-up finds what there is
    home.catalogue(entries)
    killed = worker(home, f"{point}=kill")
    assert killed.wait() == -signal.SIGKILL, killed.output_text
    clock = JumpClock()
    with home.open(clock) as pipeline:
        before = held(pipeline)
        assert before, "it was killed while it held something"
        clock.skip((lease_s - 20) * 1000)  # the kill was some moments ago
        advance(pipeline, publish=False)
        assert held(pipeline) == before
        clock.skip(20_000)
        advance(pipeline, publish=False)
        assert held(pipeline) == set()
        drive(pipeline)
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.films) == (3, 6), "results, and copies of their sources"
        assert totals.states["stored"] == 3
        assert events(pipeline, "attempt_stored") == 3
        replays_to_the_same(pipeline.ledger, home.path)


@pytest.mark.parametrize("point", ["collect.before_download", "collect.mid_download", "collect.before_stored"])
def test_a_process_that_was_stopped_past_its_lease_writes_nothing_twice(point: str, home: EngineHome) -> None:
    home.seeded(2)
    home.options |= PRODUCTION | {"max_downloads": 1}  # another thread could be stopped while it writes
    clock = JumpClock()
    with home.open(clock) as pipeline:
        made_and_not_fetched(home, pipeline, clock, count=2)
        stopped = worker(home, f"{point}=pause", skipped_ms=clock.skipped_ms)
        try:
            eventually(lambda: stopped.is_stopped)
            clock.skip(46_000)
            assert len(collect_due(pipeline).stored) == 2
            stopped.go_on()
            stopped.wait()
            assert "Traceback" not in stopped.output_text
        finally:
            os.kill(stopped.pid, signal.SIGCONT) if stopped.process.is_alive() else None
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.films, totals.states) == (2, 4, {"stored": 2})
        assert events(pipeline, "attempt_stored") == 2
        replays_to_the_same(pipeline.ledger, home.path)


@contextmanager
def counted_renewals(pipeline: Pipeline) -> Iterator[list[int]]:
    """Collect how many leases each renewal was for."""
    counts: list[int] = []
    engine = pipeline.ledger.engine

    def count(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("UPDATE schedule") and "RETURNING" in statement:
            counts.append(len(parameters) - 2)  # besides the end of the lease and the owner

    event.listen(engine, "before_cursor_execute", count)
    try:
        yield counts
    finally:
        event.remove(engine, "before_cursor_execute", count)


def test_one_transaction_renews_all_leases_while_their_host_is_silent(home: EngineHome) -> None:
    """One result is fetched at a time, and its host sends nothing for longer than a lease; three wait for their
    turn."""
    home.seeded(4)
    home.options |= {"post_deadline_s": 0.1, "lease_s": 5.2, "max_downloads": 1}
    clock = JumpClock()
    with home.open(clock) as pipeline, home.open(clock, owner=ELSEWHERE) as other:
        made_and_not_fetched(home, pipeline, clock, count=4)
        home.sandbox.faults([{"kind": "timeout_before", "where": "download", "hold": 7.0}])
        reports: list[CollectReport] = []
        with counted_renewals(pipeline) as counts:
            thread = threading.Thread(target=lambda: reports.append(collect_due(pipeline)))
            thread.start()
            eventually(lambda: len(counts) >= RENEWALS_A_LEASE + 1)
            assert collect_due(other) == CollectReport(), "the first leases are over, and were renewed"
            thread.join(60)
        assert sum(len(report.stored) + len(report.failed) for report in reports) >= 4
        assert set(counts) <= {1, 2, 3, 4}
        assert counts[0] == 4, "one transaction for all"
        assert len(counts) <= 7.0 * RENEWALS_A_LEASE / 5.2 + 3
        clock.skip(20_000)
        with counted_renewals(pipeline) as idle:
            drive(pipeline)
            assert reckon(home, pipeline.ledger).states == {"stored": 4}
        assert idle == [], "quick fetches need none"
