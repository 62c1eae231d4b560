"""The invariants of every ledger, checked by `extend-pipeline doctor`, at the end of each run and after every crash
test. Each violation is a sentence that names the row.

A ledger is read in chunks of whole videos, each chunk in a read of its own, because on SQLite a commit waits for every
reader. A chunk is one snapshot, so work that goes on meanwhile breaks nothing in it. Totals are compared with the
charges up to one event: those are only appended, except where a name changes, and then the check begins again.

A check that goes on from the event at which they last held runs the same statements on the videos of the attempts that
changed since, and adds the newer charges to the sums of then.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.identity import event_digest
from extend_pipeline.ledger.projection import invariant_queries as queries
from extend_pipeline.ledger.read.chunks import Chunks, Reads, chunks, events, named_videos, videos
from extend_pipeline.ledger.read.held import Held, Proof, can_go_on, renamed

TASKS_A_READ: Final = 20_000


def check_invariants(ledger: Ledger) -> list[str]:
    """Return a sentence for each invariant of the ledger that does not hold. Other processes may write meanwhile."""
    return prove_invariants(ledger).findings


def findings(connection: Connection) -> list[str]:
    """Return the same as `check_invariants`, inside an open transaction."""
    return _prove(lambda: nullcontext(connection), None).findings


def prove_invariants(ledger: Ledger, *, since: Held | None = None) -> Proof:
    """Check the invariants of what changed since they held, and of everything if the ledger can't go on from there. The
    totals of accounts, and how many attempts are in flight, are always compared whole."""
    return _prove(lambda: _read(ledger), since)


@contextmanager
def _read(ledger: Ledger) -> Iterator[Connection]:
    with ledger.read() as connection:
        if connection.dialect.name == "postgresql":
            # without statistics it takes a chunk for a large part of the table, and would compile each statement anew
            connection.exec_driver_sql("SET LOCAL jit = off")
        yield connection


def _prove(reads: Reads, since: Held | None) -> Proof:
    while True:
        with reads() as connection:
            if since is not None and not can_go_on(connection, since):
                since = None
            last, violations = _head(connection)
            event = event_digest(connection, last)
            accounts = list(connection.execute(select(tables.accounts)))
            days = list(connection.execute(select(tables.account_days)))
            violations += _in_flight(connection, accounts)
        history = _History(since)
        violations += history.read(reads, last)
        if since is None:
            some, statements = videos(reads), queries.ALL_VIDEOS
        else:
            some, statements = named_videos(reads, history.changed), queries.SOME_VIDEOS
        attempts = _Attempts()
        violations += attempts.read(some, statements)
        changed = None if since is None else history.changed
        violations += _tasks(reads, [row.account for row in accounts], changed)
        with reads() as connection:
            if renamed(connection, last):
                continue
        violations += _totals(accounts, days, history.charged)
        held = Held(last, event, {key: (micros,) for key, micros in history.charged.items()})
        # two changed videos that hold one task may lie in two chunks
        return Proof(list(dict.fromkeys(violations)), held, since is None, attempts.count)


def _head(connection: Connection) -> tuple[int, list[str]]:
    """Return the last event's number, and whether it is not the one that the ledger's head names."""
    last = connection.execute(select(func.coalesce(func.max(tables.events.c.seq), 0))).scalar_one()
    head = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
    return last, [] if last == head else [
        f"events: the last number is {last}, the head says {head}: they must be equal"
    ]


class _History:
    """The events since a check held. `charged` are all charges (micro-units) by account and budget day, and `changed`
    the videos of the attempts that these events changed."""

    def __init__(self, since: Held | None) -> None:
        self.charged: Counter[tuple[str, ...]] = Counter()
        self.changed: set[str] = set()
        self._after = 0
        self._everything = since is None
        if since is not None:
            self._after = since.seq
            self.charged.update({key: micros for key, (micros,) in since.sums.items()})

    def read(self, reads: Reads, last: int) -> Iterator[str]:
        """Yield the numbers that have no event, and the tasks that are known although nothing was sent."""
        for connection, bounds in events(reads, self._after, last):
            for attempt_id, count in connection.execute(queries.EVENTS, bounds):
                if attempt_id is not None:
                    yield f"attempt {attempt_id}: a task is known, but nothing says that it was being sent"
                elif count != bounds["upto"] - bounds["after"]:
                    numbers = f"{bounds['after'] + 1} to {bounds['upto']}"
                    yield f"events: {count} rows have the numbers {numbers}: none may be missing"
            for account, day, micros in connection.execute(queries.CHARGED, bounds):
                self.charged[account, day] += int(micros)
            if not self._everything:
                self.changed.update(connection.execute(queries.CHANGED, bounds).scalars())


class _Attempts:
    """The attempts of some videos; `count` of them were read."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, some: Chunks, statements: queries.VideoStatements) -> Iterator[str]:
        """Yield what is wrong in each video."""
        for connection, bounds in some:
            most = connection.execute(statements.summary, bounds).one()
            self.count += int(most.attempts)
            for row in connection.execute(statements.live_twice, bounds) if most.live > 1 else ():
                yield f"{row.video_key}/{row.hop}: {row.n} live attempts"
            for row in connection.execute(statements.stored_twice, bounds) if most.stored > 1 else ():
                yield f"{row.video_key}/{row.hop}: stored {row.n} times for the same parameters"
            for row in connection.execute(statements.attempts, bounds):
                yield from _attempt(row)
            for row in connection.execute(statements.generations, bounds) if most.generation > 1 else ():
                yield (
                    f"{row.video_key}/{row.hop}: generation {row.generation} without an operator's decision on "
                    f"generation {row.generation - 1}"
                )


def _attempt(row: Row[Any]) -> Iterator[str]:
    attempt, in_state = f"attempt {row.attempt_id}", f"attempt {row.attempt_id} ({row.state})"
    if row.net != row.expected:
        yield f"{in_state}: {row.net} micro-units are committed, {row.expected} must be"
    if row.without_file:
        yield f"{attempt}: stored without a file"
    if row.without_task:
        yield f"{in_state}: no task id"
    if row.without_url:
        yield f"{attempt}: succeeded without a URL"
    if row.sent_early:
        yield f"{attempt}: claimed, though it was being sent"
    if row.without_parent:
        yield f"{attempt}: its parent {row.parent_attempt_id} is not stored"
    if row.unscheduled:
        yield f"{in_state}: it is not scheduled, so no worker will look at it"


def _tasks(reads: Reads, accounts: Collection[str], changed: Collection[str] | None) -> Iterator[str]:
    """Yield the tasks that several attempts hold: all, or those of the attempts of the changed videos."""
    if changed is not None:
        yield from _held_twice(named_videos(reads, changed), queries.HELD_TWICE_BY_SOME)
        return
    for account in accounts:
        of_account = chunks(reads, queries.NTH_TASK, queries.LAST_TASK, size=TASKS_A_READ, account=account)
        yield from _held_twice(of_account, queries.HELD_TWICE)


def _held_twice(some: Chunks, statement: Select[Any]) -> Iterator[str]:
    for connection, bounds in some:
        for row in connection.execute(statement, bounds):
            yield f"task {row.task_id} of account {row.account} is held by {row.n} attempts"


def _in_flight(connection: Connection, accounts: list[Row[Any]]) -> Iterator[str]:
    flying = {row.account: row.n for row in connection.execute(queries.FLYING)}
    for row in accounts:
        if row.in_flight != flying.get(row.account, 0):
            yield f"account {row.account}: {row.in_flight} in flight, {flying.get(row.account, 0)} attempts are"


def _totals(accounts: list[Row[Any]], days: list[Row[Any]], by_day: Counter[tuple[str, ...]]) -> list[str]:
    by_account: Counter[str] = Counter()
    for (account, _), micros in by_day.items():
        by_account[account] += micros
    return [
        *(
            f"account {row.account}: total {row.committed_micros}, its charges sum to {by_account[row.account]}"
            for row in accounts
            if row.committed_micros != by_account[row.account]
        ),
        *(
            f"account {row.account} on {row.day}: total {row.committed_micros}, charges {by_day[row.account, row.day]}"
            for row in days
            if row.committed_micros != by_day[row.account, row.day]
        ),
    ]
