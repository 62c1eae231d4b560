"""Readers see one moment, writers wait for each other, and their events have numbers without a gap."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.steps import NOON, claim, request, run_through
from extend_pipeline_tests.support.processes.children import CONTEXT

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


def test_a_reader_sees_one_moment_while_a_writer_commits(ledger_url: str, ledger: Ledger) -> None:
    writing_ledger = open_ledger(ledger_url)
    done = threading.Event()

    def write() -> None:
        claim(writing_ledger, request("meanwhile"))
        done.set()

    try:
        with ledger.read() as connection:
            before = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
            writer = threading.Thread(target=write)
            writer.start()
            if ledger.dialect == "postgresql":
                assert done.wait(20)  # readers block no writer
            assert connection.execute(select(func.count()).select_from(tables.events)).scalar_one() == before
            assert connection.execute(select(tables.attempts)).first() is None
        assert done.wait(20)
        writer.join()
        with ledger.read() as connection:
            assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == before + 1
    finally:
        writing_ledger.close()


def test_nothing_is_written_through_a_reader_of_postgresql(ledger: Ledger) -> None:
    if ledger.dialect == "sqlite":
        with ledger.read() as connection:
            assert connection.info["mode"] == "read"
        return
    with pytest.raises(Exception, match="read-only"), ledger.read() as connection:
        connection.execute(tables.ledger_head.update().values(seq=7))


def _hold(url: str, holding: Any, go: Any) -> None:
    ledger = open_ledger(url)
    with ledger.write(now_ms=NOON, actor="holder") as tx:
        controls.pause(tx, "kling-main", why="held")
        holding.set()
        go.wait(30)
    ledger.close()


def test_a_writer_waits_for_the_writer_of_another_process_and_then_sees_what_it_did(
    ledger_url: str, ledger: Ledger
) -> None:
    holding, go = CONTEXT.Event(), CONTEXT.Event()
    holder = CONTEXT.Process(target=_hold, args=(ledger_url, holding, go), daemon=True)
    holder.start()
    assert holding.wait(30)
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(claim(ledger, request("late"))))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    assert results == []
    go.set()
    waiting.join(30)
    holder.join(30)
    assert [refused.reason for refused in results[0].refused] == ["paused"]
    assert check_invariants(ledger) == []


def test_numbers_of_events_never_interleave_with_several_writers(ledger_url: str, ledger: Ledger) -> None:
    other_ledgers = [open_ledger(ledger_url) for _ in range(3)]

    def write(writer: Ledger, name: str) -> None:
        for number in range(8):
            run_through(writer, f"{name}-{number}")

    threads = [
        threading.Thread(target=write, args=(writer, str(n))) for n, writer in enumerate([ledger, *other_ledgers])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for writer in other_ledgers:
        writer.close()
    with ledger.read() as connection:
        numbers = list(connection.execute(select(tables.events.c.seq).order_by(tables.events.c.seq)).scalars())
    assert numbers == list(range(1, 4 * 8 * 5 + 1))
    assert check_invariants(ledger) == []
