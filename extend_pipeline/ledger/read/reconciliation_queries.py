"""Reads for a comparison with the providers' statements, and its open results. Nothing here changes the ledger."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.attempt_row import AttemptRow, attempt_row
from extend_pipeline.ledger.read.queries import among, rows_by
from extend_pipeline.ledger.read.rows import ReconciliationRow, reconciliation_row
from extend_pipeline.ledger.states import ADOPTED, AttemptState
from extend_pipeline.ledger.write.reconciliation import DISAGREEMENTS, RANKS, ReconciliationVerdict


@dataclass(frozen=True, slots=True)
class ChargedAttempt:
    """The columns of an attempt that a comparison with a statement needs. Units in micro-units, times in UTC ms.
    `booked_micros` is its reservation, or its settlement with adjustments."""

    state: AttemptState
    booked_micros: int
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

    @property
    def is_settled(self) -> bool:
        """Return whether nothing is reserved any more; a failed task may still hold its reservation."""
        return self.settled_micros is not None or self.state in (AttemptState.RELEASED, AttemptState.REJECTED)

    def is_within(self, from_ms: int, to_ms: int) -> bool:
        """Return whether it was made and ended in a period, so that a statement of that period must show it. An attempt
        without a task has no end: it was charged, if at all, when it was sent."""
        sent_ms = self.sending_at or self.submitted_at
        ended_ms = self.sending_at if self.task_id is None else self.ended_ms
        return sent_ms is not None and ended_ms is not None and from_ms <= sent_ms and ended_ms < to_ms

    @property
    def ended_ms(self) -> int | None:
        """Return when its task ended; None while it runs."""
        return self.completed_at or self.finished_at


@dataclass(frozen=True, slots=True)
class Candidate:
    """An attempt that may have made an unmatched task, with the micro-units that are booked for it."""

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
        """Return VIDEO/HOP, as operators type it."""
        return f"{self.video_key}/{self.hop}"


def attempts_of_account(connection: Connection, account: str) -> list[ChargedAttempt]:
    """Return every attempt of an account, oldest claim first. Requests and evidence, which make up most of a row, are
    left out."""
    table = tables.attempts
    columns = (table.c[name] for name in ChargedAttempt.__slots__ if name != "booked_micros")
    query = select(*columns).where(table.c.account == account).order_by(table.c.claimed_at, table.c.attempt_id)
    micros = booked(connection, account)
    return [
        ChargedAttempt(AttemptState(state), micros.get(attempt_id, 0), attempt_id, *values)
        for state, attempt_id, *values in connection.execute(query)
    ]


def booked(connection: Connection, account: str) -> dict[str, int]:
    """Return the micro-units booked for each attempt of an account: reservation, or settlement with adjustments."""
    table = tables.charges
    total = func.sum(table.c.micros).label("micros")
    query = select(table.c.attempt_id, total).where(table.c.account == account).group_by(table.c.attempt_id)
    return {row.attempt_id: int(row.micros) for row in connection.execute(query)}


def first_claim(connection: Connection, account: str) -> int | None:
    """Return when the first step of the account was claimed (UTC ms); None if none was."""
    table = tables.attempts
    value = connection.execute(select(func.min(table.c.claimed_at)).where(table.c.account == account)).scalar()
    return None if value is None else int(value)


def adopted_not_stored(connection: Connection) -> list[AttemptRow]:
    """Return the attempts of adopted tasks whose file is neither stored nor given up; a failed task has no file."""
    table = tables.attempts
    ended = [state.value for state in (AttemptState.STORED, AttemptState.FAILED, AttemptState.WRITTEN_OFF)]
    query = select(table).where(table.c.chain_digest == ADOPTED, table.c.state.not_in(ended))
    query = query.order_by(table.c.claimed_at, table.c.attempt_id)
    return [attempt_row(row) for row in connection.execute(query)]


def no_extensions(connection: Connection, account: str, source: str) -> frozenset[str]:
    """Return the tasks of a provider's statement that are no extensions and need no second query. Tasks without a
    charge are left out, because they may be charged later."""
    table = tables.reconciliations
    query = select(table.c.task_id).where(
        table.c.account == account,
        table.c.source == source,
        table.c.verdict == ReconciliationVerdict.OTHER.value,
        table.c.upstream_micros.is_(None) | (table.c.upstream_micros > 0),
    )
    return frozenset(connection.execute(query).scalars())


def accepted_tasks(connection: Connection, account: str) -> frozenset[str]:
    """Return the unmatched tasks that an operator has acknowledged, on any of the account's statements."""
    table = tables.reconciliations
    query = select(table.c.task_id).where(
        table.c.account == account,
        table.c.attempt_id.is_(None),
        table.c.verdict == ReconciliationVerdict.ACCEPTED.value,
    )
    return frozenset(connection.execute(query).scalars())


def outranked_attempts(connection: Connection, account: str, source: str) -> frozenset[str]:
    """Return the attempts whose amount is known from a statement that ranks above `source`, also if an operator has
    acknowledged the difference."""
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


def candidates_for(
    connection: Connection, account: str, *, keys: Collection[str], states: Collection[AttemptState]
) -> list[Candidate]:
    """Return the candidate attempts for an unmatched task: any attempt with one of these keys, and attempts without a
    task ID that are in one of these states; oldest claim first."""
    table, charges = tables.attempts, tables.charges
    total = select(func.coalesce(func.sum(charges.c.micros), 0)).where(charges.c.attempt_id == table.c.attempt_id)
    of_account = select(table, total.scalar_subquery().label("booked_micros")).where(table.c.account == account)
    without_task = of_account.where(table.c.task_id.is_(None), table.c.state.in_([state.value for state in states]))
    keyed = rows_by(connection, of_account.where(among(table.c.external_task_id)), keys)
    rows = {row.attempt_id: row for row in (*connection.execute(without_task), *keyed)}
    candidates = [Candidate(attempt_row(columns), int(booked)) for *columns, booked in rows.values()]
    return sorted(candidates, key=lambda candidate: (candidate.attempt.claimed_at, candidate.attempt.attempt_id))


def holder(connection: Connection, account: str, task_id: str) -> AttemptRow | None:
    """Return the attempt of an account that owns a task; None if no attempt does."""
    table = tables.attempts
    row = connection.execute(select(table).where(table.c.account == account, table.c.task_id == task_id)).first()
    return None if row is None else attempt_row(row)


def holders_elsewhere(
    connection: Connection, account: str, provider: str, task_ids: Collection[str]
) -> dict[str, TaskOwner]:
    """Return the attempts of the provider's other accounts that own one of the tasks, by task. Accounts may share their
    credentials, and an account may have been renamed."""
    table, accounts = tables.attempts, tables.accounts
    # by name, because the index of tasks begins with the account, and accounts are few
    names = connection.execute(select(accounts.c.account).where(accounts.c.account != account)).scalars().all()
    query = select(table.c.task_id, table.c.account, table.c.video_key, table.c.hop).where(
        table.c.account.in_(names), table.c.provider == provider, among(table.c.task_id)
    )
    rows = rows_by(connection, query, task_ids)
    return {task_id: TaskOwner(*owner) for task_id, *owner in rows}


def known_films(connection: Connection, provider: str, ids: Collection[str]) -> frozenset[str]:
    """Return those of the provider's video IDs that are results or sources of this home. Results of adopted tasks are
    left out, because another home may extend them."""
    attempts, videos = tables.attempts, tables.videos
    results = select(attempts.c.video_id).where(
        attempts.c.provider == provider, attempts.c.chain_digest != ADOPTED, among(attempts.c.video_id)
    )
    sources = select(videos.c.source_video_id).where(videos.c.provider == provider, among(videos.c.source_video_id))
    return frozenset(film for query in (results, sources) for (film,) in rows_by(connection, query, ids))


def open_on_other_statements(connection: Connection, account: str, source: str) -> dict[str, str]:
    """Return the unmatched tasks that another statement of the account leaves open, with that statement's name."""
    table = tables.reconciliations
    query = select(table.c.task_id, table.c.source).where(
        table.c.account == account,
        table.c.source != source,
        table.c.attempt_id.is_(None),
        table.c.verdict == ReconciliationVerdict.UPSTREAM_ONLY.value,
    )
    return {row.task_id: row.source for row in connection.execute(query)}


def disagreements(connection: Connection) -> list[ReconciliationRow]:
    """Return the differences that the newest comparisons left open: tasks on one side only, or with different amounts.
    Adopted tasks that are booked and stored are left out."""
    table, attempts = tables.reconciliations, tables.attempts
    adopted_and_stored = select(attempts.c.attempt_id).where(
        attempts.c.attempt_id == table.c.attempt_id,
        attempts.c.chain_digest == ADOPTED,
        attempts.c.state == AttemptState.STORED.value,
    )
    done = (table.c.verdict == ReconciliationVerdict.UPSTREAM_ONLY.value) & adopted_and_stored.exists()
    query = select(table).where(table.c.verdict.in_([verdict.value for verdict in DISAGREEMENTS]), ~done)
    query = query.order_by(table.c.account, table.c.source, table.c.task_id)
    return [reconciliation_row(row) for row in connection.execute(query)]
