"""The invariants of every ledger, checked by `extend-pipeline doctor` and after every crash test. Each violation is a
sentence that names the row.

A ledger is read in chunks of whole videos, each chunk in a read of its own, because on SQLite a commit waits for every
reader. A chunk is one snapshot, so work that goes on meanwhile breaks nothing in it. Totals are compared with the
charges up to one event: those are only appended, except where a name changes, and then the check begins again.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.projection import invariant_queries as queries
from extend_pipeline.ledger.read.chunks import Reads, chunks, videos

TASKS_A_READ: Final = 20_000
EVENTS_A_READ: Final = 5_000


def check_invariants(ledger: Ledger) -> list[str]:
    """Return a sentence for each invariant of the ledger that does not hold. Other processes may write meanwhile."""
    return _findings(ledger.read)


def findings(connection: Connection) -> list[str]:
    """Return the same as `check_invariants`, inside an open transaction."""
    return _findings(lambda: nullcontext(connection))


def _findings(reads: Reads) -> list[str]:
    while True:
        with reads() as connection:
            last, violations = _head(connection)
            accounts = list(connection.execute(select(tables.accounts)))
            days = list(connection.execute(select(tables.account_days)))
            violations += _in_flight(connection, accounts)
        violations += _history(reads, last)
        charged: Counter[tuple[str, str]] = Counter()
        violations += _videos(reads, last, charged)
        violations += _tasks(reads, accounts)
        with reads() as connection:
            renamed = connection.execute(queries.RENAMED, {"last": last}).first() is not None
        if not renamed:
            return violations + _totals(accounts, days, charged)


def _head(connection: Connection) -> tuple[int, list[str]]:
    """Return the last event's number, and whether it is not the one that the ledger's head names."""
    last = connection.execute(select(func.coalesce(func.max(tables.events.c.seq), 0))).scalar_one()
    head = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
    return last, [] if last == head else [
        f"events: the last number is {last}, the head says {head}: they must be equal"
    ]


def _history(reads: Reads, last: int) -> Iterator[str]:
    """Yield the numbers that have no event, and the tasks that are known although nothing was sent."""
    for after in range(0, last, EVENTS_A_READ):
        bounds = {"after": after, "upto": min(after + EVENTS_A_READ, last)}
        with reads() as connection:
            count = connection.execute(queries.EVENTS, bounds).scalar_one()
            unsent = connection.execute(queries.UNSENT, bounds).scalars().all()
        if count != bounds["upto"] - after:
            yield f"events: {count} rows have the numbers {after + 1} to {bounds['upto']}: none may be missing"
        for attempt_id in unsent:
            yield f"attempt {attempt_id}: a task is known, but nothing says that it was being sent"


def _videos(reads: Reads, last: int, charged: Counter[tuple[str, str]]) -> Iterator[str]:
    """Yield what is wrong in each video, and add its charges up to the last event to those of account and day."""
    for connection, bounds in videos(reads):
        for row in connection.execute(queries.LIVE_TWICE, bounds):
            yield f"{row.video_key}/{row.hop}: {row.n} live attempts"
        for row in connection.execute(queries.STORED_TWICE, bounds):
            yield f"{row.video_key}/{row.hop}: stored {row.n} times for the same parameters"
        for row in connection.execute(queries.ATTEMPTS, bounds):
            yield from _attempt(row)
        for row in connection.execute(queries.GENERATIONS, bounds):
            yield (
                f"{row.video_key}/{row.hop}: generation {row.generation} without an operator's decision on generation "
                f"{row.generation - 1}"
            )
        for account, day, micros in connection.execute(queries.CHARGED, {**bounds, "last": last}):
            charged[account, day] += int(micros)


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


def _tasks(reads: Reads, accounts: list[Row[Any]]) -> Iterator[str]:
    for account in (row.account for row in accounts):
        of_account = chunks(reads, queries.NTH_TASK, queries.LAST_TASK, size=TASKS_A_READ, account=account)
        for connection, bounds in of_account:
            for row in connection.execute(queries.HELD_TWICE, bounds):
                yield f"task {row.task_id} of account {account} is held by {row.n} attempts"


def _in_flight(connection: Connection, accounts: list[Row[Any]]) -> Iterator[str]:
    flying = {row.account: row.n for row in connection.execute(queries.FLYING)}
    for row in accounts:
        if row.in_flight != flying.get(row.account, 0):
            yield f"account {row.account}: {row.in_flight} in flight, {flying.get(row.account, 0)} attempts are"


def _totals(accounts: list[Row[Any]], days: list[Row[Any]], by_day: Counter[tuple[str, str]]) -> list[str]:
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
