"""Reads that a comparison with the providers' books is made from, and what the last one has left. Nothing here changes
anything."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, false, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.queries import chunks
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.reconciliation import DISAGREEMENTS, ORPHAN, RANKS, ReconciliationVerdict


def attempts_of_account(connection: Connection, account: str) -> list[Row[Any]]:
    """Every attempt of an account, oldest claim first: the columns that a comparison needs, not the requests and
    answers that make up most of a row."""
    table = tables.attempts
    columns = (table.c[name] for name in _COMPARED)
    query = select(*columns).where(table.c.account == account).order_by(table.c.claimed_at, table.c.attempt_id)
    return list(connection.execute(query))


_COMPARED = (
    "attempt_id",
    "video_key",
    "hop",
    "chain_digest",
    "account",
    "state",
    "task_id",
    "unit",
    "unit_price_micros",
    "predicted_micros",
    "settled_micros",
    "sending_at",
    "submitted_at",
    "completed_at",
    "finished_at",
)


def booked(connection: Connection, account: str) -> dict[str, int]:
    """Micro-units that stand in the books for each attempt of an account: reservation, or settlement with
    adjustments."""
    table = tables.charges
    total = func.sum(table.c.micros).label("micros")
    query = select(table.c.attempt_id, total).where(table.c.account == account).group_by(table.c.attempt_id)
    return {row.attempt_id: int(row.micros) for row in connection.execute(query)}


def first_claim(connection: Connection, account: str) -> int | None:
    """When the account was first claimed for (UTC ms); None where it never was."""
    table = tables.attempts
    value = connection.execute(select(func.min(table.c.claimed_at)).where(table.c.account == account)).scalar()
    return None if value is None else int(value)


def orphans_not_stored(connection: Connection) -> list[Row[Any]]:
    """Tasks that were taken over from a provider's books and whose file is not here; what failed or was given up has
    none."""
    table = tables.attempts
    ended = [state.value for state in (AttemptState.STORED, AttemptState.FAILED, AttemptState.WRITTEN_OFF)]
    query = select(table).where(table.c.chain_digest == ORPHAN, table.c.state.not_in(ended))
    return list(connection.execute(query.order_by(table.c.claimed_at, table.c.attempt_id)))


def no_extensions(connection: Connection, account: str, source: str) -> frozenset[str]:
    """Tasks of a provider's book that were found to be no extensions: they needn't be asked for again. What merely cost
    nothing may cost something tomorrow."""
    table = tables.reconciliations
    query = select(table.c.task_id).where(
        table.c.account == account,
        table.c.source == source,
        table.c.verdict == ReconciliationVerdict.OTHER.value,
        table.c.upstream_micros.is_(None) | (table.c.upstream_micros > 0),
    )
    return frozenset(connection.execute(query).scalars())


def accepted_strangers(connection: Connection, account: str) -> frozenset[str]:
    """Tasks that no attempt holds and that a person has let be, in any of the account's books."""
    table = tables.reconciliations
    query = select(table.c.task_id).where(
        table.c.account == account,
        table.c.attempt_id.is_(None),
        table.c.verdict == ReconciliationVerdict.ACCEPTED.value,
    )
    return frozenset(connection.execute(query).scalars())


def told_by_better_books(connection: Connection, account: str, source: str) -> frozenset[str]:
    """Attempts whose amount was told by a book that counts for more than `source`, also where a person has let the
    difference be: it counts all the same."""
    table = tables.reconciliations
    better = RANKS[RANKS.index(source) + 1 :] if source in RANKS else ()
    amounts = (ReconciliationVerdict.MATCHED, ReconciliationVerdict.DIFFERENT_AMOUNT, ReconciliationVerdict.ACCEPTED)
    query = select(table.c.attempt_id).where(
        table.c.account == account,
        table.c.source.in_(better),
        table.c.attempt_id.is_not(None),
        table.c.upstream_micros >= 0,
        table.c.verdict.in_([verdict.value for verdict in amounts]),
    )
    return frozenset(connection.execute(query).scalars())


def may_be(
    connection: Connection, account: str, *, keys: Collection[str], states: Collection[AttemptState]
) -> list[Row[Any]]:
    """Attempts that a task which nobody holds may be of: those with one of the keys, whatever became of them, and those
    without a task in one of the states; with what is booked for each."""
    table, charges = tables.attempts, tables.charges
    total = select(func.coalesce(func.sum(charges.c.micros), 0)).where(charges.c.attempt_id == table.c.attempt_id)
    booked_micros = total.scalar_subquery().label("booked_micros")
    mine = select(table, booked_micros).where(table.c.account == account)
    nameless = mine.where(table.c.task_id.is_(None), table.c.state.in_([state.value for state in states]))
    found = {row.attempt_id: row for row in connection.execute(nameless)}
    for part in chunks(keys):
        found.update(
            {row.attempt_id: row for row in connection.execute(mine.where(table.c.external_task_id.in_(part)))}
        )
    return sorted(found.values(), key=lambda row: (row.claimed_at, row.attempt_id))


def holder(connection: Connection, account: str, task_id: str) -> Row[Any] | None:
    """The attempt of an account that holds a task; None where none does."""
    table = tables.attempts
    return connection.execute(select(table).where(table.c.account == account, table.c.task_id == task_id)).first()


def holders_elsewhere(
    connection: Connection, account: str, provider: str, task_ids: Collection[str]
) -> dict[str, Row[Any]]:
    """Attempts of the provider's other accounts that hold one of the tasks, by task: accounts that share their
    credentials, or one that has been given another name."""
    table = tables.attempts
    query = select(table.c.task_id, table.c.account, table.c.video_key, table.c.hop).where(
        table.c.provider == provider, table.c.account != account
    )
    return {
        row.task_id: row
        for part in chunks(task_ids)
        for row in connection.execute(query.where(table.c.task_id.in_(part)))
    }


def known_films(connection: Connection, provider: str, ids: Collection[str]) -> frozenset[str]:
    """Which of some of the provider's films are results or sources of this home. What was adopted doesn't count: a
    colleague may extend it further."""
    attempts, videos = tables.attempts, tables.videos
    results = select(attempts.c.video_id).where(attempts.c.provider == provider, attempts.c.chain_digest != ORPHAN)
    sources = select(videos.c.source_video_id).where(videos.c.provider == provider)
    return frozenset(
        film
        for part in chunks(ids)
        for query in (results.where(attempts.c.video_id.in_(part)), sources.where(videos.c.source_video_id.in_(part)))
        for film in connection.execute(query).scalars()
    )


def questions_elsewhere(connection: Connection, account: str, source: str) -> dict[str, str]:
    """Tasks that no attempt holds and that another book of the account has a difference about, with that book."""
    table = tables.reconciliations
    query = select(table.c.task_id, table.c.source).where(
        table.c.account == account,
        table.c.source != source,
        table.c.attempt_id.is_(None),
        table.c.verdict == ReconciliationVerdict.UPSTREAM_ONLY.value,
    )
    return {row.task_id: row.source for row in connection.execute(query)}


def disagreements(connection: Connection) -> list[Row[Any]]:
    """What the newest comparisons left open: tasks that only one book has, or that have other amounts. What was taken
    over, is booked and has its file here needs nobody any more."""
    table, attempts = tables.reconciliations, tables.attempts
    at_home = select(attempts.c.attempt_id).where(
        attempts.c.chain_digest == ORPHAN, attempts.c.state == AttemptState.STORED.value
    )
    done = (table.c.verdict == ReconciliationVerdict.UPSTREAM_ONLY.value) & table.c.attempt_id.in_(at_home)
    query = select(table).where(
        table.c.verdict.in_([verdict.value for verdict in DISAGREEMENTS]), ~func.coalesce(done, false())
    )
    return list(connection.execute(query.order_by(table.c.account, table.c.source, table.c.task_id)))
