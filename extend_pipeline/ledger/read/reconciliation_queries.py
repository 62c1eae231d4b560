"""Reads that a comparison with the providers' books is made from, and what the last one has left. Nothing here changes
anything."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, false, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.attempt_row import ADOPTED, AttemptRow, attempt_row
from extend_pipeline.ledger.read.queries import chunks
from extend_pipeline.ledger.read.rows import ReconciliationRow, reconciliation_row
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.reconciliation import DISAGREEMENTS, RANKS, ReconciliationVerdict


@dataclass(frozen=True, slots=True)
class ChargedAttempt:
    """What a comparison with a statement needs of an attempt. Units in micro-units, times in ms of UTC."""

    state: AttemptState
    attempt_id: str
    video_key: str
    hop: int
    chain_digest: str
    account: str
    task_id: str | None
    unit: str
    unit_price_micros: int
    predicted_micros: int
    settled_micros: int | None
    sending_at: int | None
    submitted_at: int | None
    completed_at: int | None
    finished_at: int | None

    @property
    def is_adopted(self) -> bool:
        """Return whether its task was adopted from a provider's statement, and was never predicted here."""
        return self.chain_digest == ADOPTED


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that an unmatched task may be of, with what is booked for it in micro-units."""

    attempt: AttemptRow
    booked_micros: int


@dataclass(frozen=True, slots=True)
class TaskOwner:
    """The attempt of an account that owns a task."""

    account: str
    video_key: str
    hop: int

    @property
    def where(self) -> str:
        """VIDEO/HOP, as people type it."""
        return f"{self.video_key}/{self.hop}"


def attempts_of_account(connection: Connection, account: str) -> list[ChargedAttempt]:
    """Return every attempt of an account, oldest claim first: the columns that a comparison needs, not the requests and
    answers that make up most of a row."""
    table = tables.attempts
    columns = (table.c[name] for name in ChargedAttempt.__slots__)
    query = select(*columns).where(table.c.account == account).order_by(table.c.claimed_at, table.c.attempt_id)
    return [ChargedAttempt(AttemptState(state), *values) for state, *values in connection.execute(query)]


def booked(connection: Connection, account: str) -> dict[str, int]:
    """Return micro-units that stand in the books for each attempt of an account: reservation, or settlement with
    adjustments."""
    table = tables.charges
    total = func.sum(table.c.micros).label("micros")
    query = select(table.c.attempt_id, total).where(table.c.account == account).group_by(table.c.attempt_id)
    return {row.attempt_id: int(row.micros) for row in connection.execute(query)}


def first_claim(connection: Connection, account: str) -> int | None:
    """Return when the account was first claimed for (UTC ms); None where it never was."""
    table = tables.attempts
    value = connection.execute(select(func.min(table.c.claimed_at)).where(table.c.account == account)).scalar()
    return None if value is None else int(value)


def orphans_not_stored(connection: Connection) -> list[AttemptRow]:
    """Return tasks that were taken over from a provider's books and whose file is not here; what failed or was given up
    has none."""
    table = tables.attempts
    ended = [state.value for state in (AttemptState.STORED, AttemptState.FAILED, AttemptState.WRITTEN_OFF)]
    query = select(table).where(table.c.chain_digest == ADOPTED, table.c.state.not_in(ended))
    query = query.order_by(table.c.claimed_at, table.c.attempt_id)
    return [attempt_row(row) for row in connection.execute(query)]


def no_extensions(connection: Connection, account: str, source: str) -> frozenset[str]:
    """Return tasks of a provider's book that were found to be no extensions: they needn't be asked for again. What
    merely cost nothing may cost something tomorrow."""
    table = tables.reconciliations
    query = select(table.c.task_id).where(
        table.c.account == account,
        table.c.source == source,
        table.c.verdict == ReconciliationVerdict.OTHER.value,
        table.c.upstream_micros.is_(None) | (table.c.upstream_micros > 0),
    )
    return frozenset(connection.execute(query).scalars())


def accepted_tasks(connection: Connection, account: str) -> frozenset[str]:
    """Return tasks that no attempt holds and that a person has let be, in any of the account's books."""
    table = tables.reconciliations
    query = select(table.c.task_id).where(
        table.c.account == account,
        table.c.attempt_id.is_(None),
        table.c.verdict == ReconciliationVerdict.ACCEPTED.value,
    )
    return frozenset(connection.execute(query).scalars())


def outranked_attempts(connection: Connection, account: str, source: str) -> frozenset[str]:
    """Return attempts whose amount was told by a book that counts for more than `source`, also where a person has let
    the difference be: it counts all the same."""
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
) -> list[Candidate]:
    """Return the candidate attempts for an unmatched task: any attempt with one of these keys, and attempts without a
    task ID that are in one of these states; oldest claim first."""
    table, charges = tables.attempts, tables.charges
    total = select(func.coalesce(func.sum(charges.c.micros), 0)).where(charges.c.attempt_id == table.c.attempt_id)
    mine = select(table, total.scalar_subquery().label("booked_micros")).where(table.c.account == account)
    queries = [mine.where(table.c.task_id.is_(None), table.c.state.in_([state.value for state in states]))]
    queries += [mine.where(table.c.external_task_id.in_(part)) for part in chunks(keys)]
    rows = {row.attempt_id: row for query in queries for row in connection.execute(query)}
    candidates = [Candidate(attempt_row(columns), int(booked)) for *columns, booked in rows.values()]
    return sorted(candidates, key=lambda candidate: (candidate.attempt.claimed_at, candidate.attempt.attempt_id))


def holder(connection: Connection, account: str, task_id: str) -> AttemptRow | None:
    """Return the attempt of an account that owns a task; None where none does."""
    table = tables.attempts
    row = connection.execute(select(table).where(table.c.account == account, table.c.task_id == task_id)).first()
    return None if row is None else attempt_row(row)


def holders_elsewhere(
    connection: Connection, account: str, provider: str, task_ids: Collection[str]
) -> dict[str, TaskOwner]:
    """Return the attempts of the provider's other accounts that own one of the tasks, by task: accounts that share
    their credentials, or one that has been given another name."""
    table = tables.attempts
    query = select(table.c.task_id, table.c.account, table.c.video_key, table.c.hop).where(
        table.c.provider == provider, table.c.account != account
    )
    return {
        task_id: TaskOwner(*owner)
        for part in chunks(task_ids)
        for task_id, *owner in connection.execute(query.where(table.c.task_id.in_(part)))
    }


def known_films(connection: Connection, provider: str, ids: Collection[str]) -> frozenset[str]:
    """Return which of some of the provider's films are results or sources of this home. What was adopted doesn't count:
    a colleague may extend it further."""
    attempts, videos = tables.attempts, tables.videos
    results = select(attempts.c.video_id).where(attempts.c.provider == provider, attempts.c.chain_digest != ADOPTED)
    sources = select(videos.c.source_video_id).where(videos.c.provider == provider)
    return frozenset(
        film
        for part in chunks(ids)
        for query in (results.where(attempts.c.video_id.in_(part)), sources.where(videos.c.source_video_id.in_(part)))
        for film in connection.execute(query).scalars()
    )


def questions_elsewhere(connection: Connection, account: str, source: str) -> dict[str, str]:
    """Return tasks that no attempt holds and that another book of the account has a difference about, with that
    book."""
    table = tables.reconciliations
    query = select(table.c.task_id, table.c.source).where(
        table.c.account == account,
        table.c.source != source,
        table.c.attempt_id.is_(None),
        table.c.verdict == ReconciliationVerdict.UPSTREAM_ONLY.value,
    )
    return {row.task_id: row.source for row in connection.execute(query)}


def disagreements(connection: Connection) -> list[ReconciliationRow]:
    """Return what the newest comparisons left open: tasks that only one book has, or that have other amounts. What was
    taken over, is booked and has its file here needs nobody any more."""
    table, attempts = tables.reconciliations, tables.attempts
    at_home = select(attempts.c.attempt_id).where(
        attempts.c.chain_digest == ADOPTED, attempts.c.state == AttemptState.STORED.value
    )
    done = (table.c.verdict == ReconciliationVerdict.UPSTREAM_ONLY.value) & table.c.attempt_id.in_(at_home)
    query = select(table).where(
        table.c.verdict.in_([verdict.value for verdict in DISAGREEMENTS]), ~func.coalesce(done, false())
    )
    query = query.order_by(table.c.account, table.c.source, table.c.task_id)
    return [reconciliation_row(row) for row in connection.execute(query)]
