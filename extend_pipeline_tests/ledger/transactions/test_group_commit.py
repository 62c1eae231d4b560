"""Group commit: threads of one process share commits, and each of them finds what it wrote committed, or no trace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Final

import pytest
from sqlalchemy import Connection, event, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.transactions.group_commit import GroupCommit
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.support.ledger.steps import NOON

THREADS: Final = 8
WRITES: Final = 25
DEADLINE_S: Final = 120


class _RefusedError(Exception):
    pass


def _in_threads(write: Callable[[int], None]) -> None:
    """Call it in each thread with the thread's number, in all of them at once."""
    together = threading.Barrier(THREADS)

    def begin(number: int) -> None:
        together.wait(DEADLINE_S)
        write(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(begin, range(THREADS), timeout=DEADLINE_S))


def _actors(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(select(tables.events.c.actor).order_by(tables.events.c.seq)).scalars())


def test_threads_share_commits_and_each_finds_its_own_write_committed(ledger_url: str, ledger: Ledger) -> None:
    commits: list[Connection] = []
    event.listen(ledger.engine, "commit", commits.append)

    def write(number: int) -> None:
        with closing(Ledger(ledger_url)) as other:
            for count in range(WRITES):
                actor = f"{number}-{count}"
                with ledger.write(now_ms=NOON, actor=actor) as tx:
                    controls.pause(tx, why="a write")
                with other.read() as connection:
                    found = select(func.count()).select_from(tables.events).where(tables.events.c.actor == actor)
                    assert connection.execute(found).scalar_one() == 1

    _in_threads(write)
    written = _actors(ledger)
    assert sorted(written) == sorted(f"{number}-{count}" for number in range(THREADS) for count in range(WRITES))
    assert 0 < len(commits) < len(written)


def test_a_block_that_fails_leaves_no_trace_and_the_others_are_committed(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.write(now_ms=NOON, actor="fails") as tx:
            controls.pause(tx, why="a write")
            own = select(tables.events.c.actor).where(tables.events.c.seq == tx.seq)
            assert tx.connection.execute(own).scalar_one() == "fails"
            raise _RefusedError

    def write(number: int) -> None:
        for _ in range(WRITES):
            if number % 2:
                with pytest.raises(_RefusedError):
                    fail()
            else:
                with ledger.write(now_ms=NOON, actor="goes on") as tx:
                    controls.pause(tx, why="a write")

    _in_threads(write)
    assert _actors(ledger) == ["goes on"] * (THREADS // 2 * WRITES)


def test_what_is_shared_is_committed_whole_or_not_at_all(ledger_url: str) -> None:
    """One block in each round breaks a constraint that is checked at the commit alone."""
    with closing(open_ledger(ledger_url)) as ledger:
        engine = ledger.engine
        with engine.begin() as connection:
            connection.info["mode"] = "write"
            connection.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
            parent = "INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED"
            connection.execute(text(f"CREATE TABLE children (id INTEGER PRIMARY KEY, parent {parent})"))
        begun: list[int] = []

        @contextmanager
        def begin() -> Iterator[Connection]:
            with engine.connect() as connection:
                connection.info["mode"] = "write"
                with connection.begin():
                    begun.append(len(begun))
                    yield connection

        writers = GroupCommit(begin)
        together = threading.Barrier(THREADS)
        committed: list[int] = []
        in_vain: list[int] = []

        def write(number: int) -> None:
            for count in range(WRITES):
                together.wait(DEADLINE_S)
                row = number * WRITES + count
                orphan = number == count % THREADS
                try:
                    with writers.block() as connection:
                        row_of = {"id": row, "parent": 1 if orphan else None}
                        connection.execute(text("INSERT INTO children VALUES (:id, :parent)"), row_of)
                except IntegrityError:
                    in_vain.append(row)
                else:
                    committed.append(row)

        _in_threads(write)
        with ledger.read() as connection:
            kept = list(connection.execute(text("SELECT id FROM children ORDER BY id")).scalars())
        assert kept == sorted(committed)
        assert len(in_vain) >= WRITES
        assert len(in_vain) + len(committed) == THREADS * WRITES
        assert len(begun) < THREADS * WRITES


def test_a_lost_transaction_fails_all_that_shared_it_and_nothing_after(ledger: Ledger) -> None:
    # SQLite rolls back by itself when the disk is full; a server ends
    lose = {"sqlite": "ROLLBACK", "postgresql": "SELECT pg_terminate_backend(pg_backend_pid())"}[ledger.dialect]
    committed: list[str] = []
    failed: list[str] = []

    def write(number: int) -> None:
        for count in range(WRITES):
            actor = f"{number}-{count}"
            try:
                with ledger.write(now_ms=NOON, actor=actor) as tx:
                    controls.pause(tx, why="a write")
                    if number == 0 and count % 5 == 2:
                        connection = tx.connection
                        connection.execute(text(lose))
                        connection.execute(text("SELECT missing FROM ledger_head"))
            except DBAPIError:
                failed.append(actor)
            else:
                committed.append(actor)

    _in_threads(write)
    assert len(failed) >= WRITES // 5
    assert sorted(_actors(ledger)) == sorted(committed)
    assert len(failed) + len(committed) == THREADS * WRITES


def test_a_transaction_alone_shares_nothing(ledger: Ledger) -> None:
    def write(number: int) -> None:
        for _ in range(WRITES):
            if number:
                with ledger.write(now_ms=NOON, actor="a writer") as tx:
                    controls.pause(tx, why="a write")
                continue
            with ledger.alone() as (connection, head):
                actors = connection.execute(select(func.count()).select_from(tables.events)).scalar_one()
                assert head.seq == actors
                assert not connection.in_nested_transaction()

    _in_threads(write)
    assert len(_actors(ledger)) == (THREADS - 1) * WRITES
