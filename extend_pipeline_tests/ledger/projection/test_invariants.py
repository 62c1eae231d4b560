"""The invariants are checked in chunks, while others write, and every chunk is read through an index."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection import invariants
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import chunks
from extend_pipeline_tests.support.ledger.events import START, append_attempt, seed_attempt
from extend_pipeline_tests.support.ledger.written import WrittenLedger

SMALL = {"accounts", "account_days", "ledger_head", "(subquery-2)"}  # the last: two rows


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ATTEMPTS_A_READ", 2)
    for name in ("TASKS_A_READ", "EVENTS_A_READ"):
        monkeypatch.setattr(invariants, name, 2)


def plan_of(ledger: Ledger, statement: str, parameters: Any) -> list[str]:
    with ledger.read() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]


def fill(ledger: Ledger, videos: int = 5) -> None:
    with ledger.write(now_ms=START, actor="test") as tx:
        for number in range(videos):
            append_attempt(tx, f"a{number}-1", video=f"v{number}", hop=1)
            append_attempt(tx, f"a{number}-2", video=f"v{number}", hop=2, parent_attempt_id=f"a{number}-1")


def break_it(ledger: Ledger) -> None:
    """Break the first, a middle and the last chunk, and the totals."""
    attempts, charges = tables.attempts, tables.charges
    with ledger.write(now_ms=START, actor="vandal") as tx:
        for index in ("ux_attempts_task", "ux_attempts_one_live", "ux_attempts_one_stored"):
            tx.connection.execute(text(f"DROP INDEX {index}"))
        where = attempts.c.attempt_id
        for statement in (
            attempts.update().where(where == "a0-1").values(sha256=""),
            attempts.update().where(where.in_(("a1-1", "a1-2"))).values(hop=1, chain_digest="same"),
            attempts.update().where(where.in_(("a2-1", "a2-2"))).values(hop=1, state="claimed"),
            attempts.update().where(where == "a3-1").values(task_id="00task-a0-1"),
            attempts.update().where(where == "a4-2").values(parent_attempt_id="a9-1", generation=2),
            charges.update().where(charges.c.attempt_id == "a4-1", charges.c.entry == "settle").values(micros=1),
            tables.accounts.update().values(in_flight=4),
            tables.events.delete().where(tables.events.c.seq == 2),
        ):
            tx.connection.execute(statement)


def test_chunks_of_any_size_find_the_same(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ledger)
    assert check_invariants(ledger) == []
    break_it(ledger)
    found = []
    for size in (1, 2, 3, 1_000):
        monkeypatch.setattr(chunks, "ATTEMPTS_A_READ", size)
        monkeypatch.setattr(invariants, "TASKS_A_READ", size)
        found.append(sorted(check_invariants(ledger)))
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 15


def test_writers_between_two_reads_break_nothing(ledger: Ledger, small_chunks: None) -> None:
    fill(ledger)

    def write(read: int) -> None:
        video, state = f"v{read % 5}-{read}", ("stored", "failed", "released", "in_doubt", "claimed")[read % 5]
        seed_attempt(ledger, f"new-{read}", video=video, until=state)

    written = WrittenLedger(ledger.url, write)
    try:
        assert check_invariants(written) == []
        assert written.reads > 50
    finally:
        written.close()


@pytest.mark.parametrize("read", [2, 20, 35])
def test_a_rename_between_two_reads_breaks_nothing(ledger: Ledger, small_chunks: None, read: int) -> None:
    fill(ledger)

    def rename(now: int) -> None:
        if now == read:
            with ledger.write(now_ms=START, actor="test") as tx:
                tx.append("account_renamed", account="other", data={"was": "kling-main"})

    written = WrittenLedger(ledger.url, rename)
    try:
        assert check_invariants(written) == []
    finally:
        written.close()


def test_every_statement_reads_through_an_index(tmp_path: Any, small_chunks: None) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    fill(ledger)
    seen: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            seen[statement] = parameters

    event.listen(ledger.engine, "before_cursor_execute", note)
    assert check_invariants(ledger) == []
    event.remove(ledger.engine, "before_cursor_execute", note)
    assert len(seen) > 12
    plans = {statement: plan_of(ledger, statement, parameters) for statement, parameters in seen.items()}
    scans = {step.split()[1] for plan in plans.values() for step in plan if step.startswith("SCAN")}
    assert scans <= SMALL
    assert sum("ix_attempts_state" in " ".join(plan) for plan in plans.values()) == 1  # of those in flight
    ledger.close()
