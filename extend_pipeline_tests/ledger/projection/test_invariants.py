"""The invariants are checked in chunks, while others write, and every chunk is read through an index; and a check that
goes on from an earlier one reads what changed since."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, text

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection import invariants
from extend_pipeline.ledger.projection.invariants import check_invariants, prove_invariants
from extend_pipeline.ledger.read import chunks
from extend_pipeline.ledger.read.held import Held
from extend_pipeline_tests.support.ledger.events import START, append_attempt, seed_attempt
from extend_pipeline_tests.support.ledger.plans import recorded
from extend_pipeline_tests.support.ledger.written import WrittenLedger

SMALL = {"accounts", "account_days", "ledger_head", "hops", "by_attempt", "(subquery-2)"}
"""Two rows, or the groups of a chunk."""


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "ATTEMPTS_A_READ", 2)
    monkeypatch.setattr(chunks, "EVENTS_A_READ", 2)
    monkeypatch.setattr(invariants, "TASKS_A_READ", 2)


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


@pytest.mark.parametrize("goes_on", [False, True])
def test_every_statement_reads_through_an_index(tmp_path: Any, small_chunks: None, goes_on: bool) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    fill(ledger)
    seen: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith(("SELECT", "WITH")):
            seen[statement] = parameters

    event.listen(ledger.engine, "before_cursor_execute", note)
    assert check_invariants(ledger) == []
    if goes_on:
        held = held_now(ledger)
        seed_attempt(ledger, "new", video="v1", hop=3)
        seen.clear()
        assert prove_invariants(ledger, since=held).rows == 3
    event.remove(ledger.engine, "before_cursor_execute", note)
    assert len(seen) > 12
    plans = {statement: plan_of(ledger, statement, parameters) for statement, parameters in seen.items()}
    scans = {step.split()[1] for plan in plans.values() for step in plan if step.startswith("SCAN")}
    assert scans <= SMALL
    assert sum("ix_attempts_state" in " ".join(plan) for plan in plans.values()) == 1  # of those in flight
    ledger.close()


def held_now(ledger: Ledger) -> Held:
    """Return where the invariants hold now."""
    proof = prove_invariants(ledger)
    assert proof.findings == []
    assert proof.is_whole
    assert proof.held is not None
    return proof.held


def spoil(ledger: Ledger, attempt_id: str) -> None:
    """Change a row without an event."""
    with ledger.write(now_ms=START, actor="vandal") as tx:
        of = tables.attempts.c.attempt_id == attempt_id
        tx.connection.execute(tables.attempts.update().where(of).values(sha256=""))


@pytest.mark.parametrize("videos", [3, 60])
def test_what_changed_is_proved_at_the_cost_of_what_changed(ledger: Ledger, videos: int) -> None:
    fill(ledger, videos)
    held = held_now(ledger)
    assert prove_invariants(ledger, since=held).rows == 0
    seed_attempt(ledger, "new", video="v1", hop=3, parent_attempt_id="a1-2")
    with recorded(ledger) as statements:
        proof = prove_invariants(ledger, since=held)
    assert (proof.findings, proof.is_whole, proof.rows) == ([], False, 3)
    assert len([text for text, _ in statements if text.startswith(("SELECT", "WITH"))]) == 15
    with ledger.read() as connection:
        values = [value for _, value in statements]
        assert not any("v2" in str(value) for value in values)
        assert connection.execute(text("SELECT count(*) FROM attempts")).scalar_one() == 2 * videos + 1


def test_a_violation_is_found_where_something_changed_and_elsewhere_by_the_whole(ledger: Ledger) -> None:
    fill(ledger)
    held = held_now(ledger)
    seed_attempt(ledger, "new", video="v1", hop=3)
    spoil(ledger, "a1-1")
    spoil(ledger, "a3-1")
    (changed,) = prove_invariants(ledger, since=held).findings
    assert "a1-1" in changed
    assert [finding.split()[1].strip(":") for finding in check_invariants(ledger)] == ["a1-1", "a3-1"]


def test_everything_that_breaks_is_found_where_everything_changed(ledger: Ledger) -> None:
    fill(ledger)
    break_it(ledger)
    since = Held(0, "", {})
    proof = prove_invariants(ledger, since=since)
    assert not proof.is_whole
    assert sorted(proof.findings) == sorted(check_invariants(ledger))


@pytest.mark.parametrize("statement", ["UPDATE accounts SET {}", "UPDATE account_days SET {}"])
def test_totals_are_proved_by_what_was_charged_since(ledger: Ledger, statement: str) -> None:
    fill(ledger)
    held = held_now(ledger)
    seed_attempt(ledger, "new", video="v1", hop=3)
    assert prove_invariants(ledger, since=held).held == held_now(ledger)
    with ledger.write(now_ms=START, actor="vandal") as tx:
        tx.connection.execute(text(statement.format("committed_micros = committed_micros + 1")))
    assert len(prove_invariants(ledger, since=held).findings) == 1


def test_a_task_of_a_changed_video_that_another_one_holds_is_found(ledger: Ledger) -> None:
    fill(ledger)
    held = held_now(ledger)
    seed_attempt(ledger, "new", video="v1", hop=3)
    with ledger.write(now_ms=START, actor="vandal") as tx:
        tx.connection.execute(text("DROP INDEX ux_attempts_task"))
        of = tables.attempts.c.attempt_id == "new"
        tx.connection.execute(tables.attempts.update().where(of).values(task_id="00task-a4-1"))
    assert len(prove_invariants(ledger, since=held).findings) == 1


def test_everything_is_proved_after_a_rename_and_in_a_ledger_without_that_event(ledger: Ledger) -> None:
    fill(ledger)
    held = held_now(ledger)
    other = Held(held.seq, "another event", held.sums)
    later = Held(held.seq + 1, held.event, held.sums)
    assert [prove_invariants(ledger, since=since).is_whole for since in (held, other, later)] == [False, True, True]
    with ledger.write(now_ms=START, actor="test") as tx:
        tx.append("account_renamed", account="other", data={"was": "kling-main"})
    assert prove_invariants(ledger, since=held).is_whole
    assert not prove_invariants(ledger, since=held_now(ledger)).is_whole


def test_writers_between_two_reads_of_what_changed_break_nothing(ledger: Ledger, small_chunks: None) -> None:
    fill(ledger)
    held = held_now(ledger)
    seed_attempt(ledger, "first", video="v1", hop=9)

    def write(read: int) -> None:
        seed_attempt(ledger, f"new-{read}", video=f"v{read % 5}", hop=10 + read)

    written = WrittenLedger(ledger.url, write)
    try:
        proof = prove_invariants(written, since=held)
        assert (proof.findings, proof.is_whole) == ([], False)
    finally:
        written.close()
    following = prove_invariants(ledger, since=proof.held)
    assert (following.findings, following.is_whole) == ([], False)
    assert following.rows > 0
