"""The queue of due attempts: workers lease them, so that two do not do the same work. All of its rows may be lost
at the cost of one poll each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.clock import TOLERANCE_MS
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.attempt_row import LOOK_COLUMNS, ScheduledAttempt, scheduled_attempt
from extend_pipeline.ledger.read.queries import chunks, of_scheduled, rows_by
from extend_pipeline.ledger.states import AttemptState


@dataclass(frozen=True, slots=True)
class MaxWaits:
    """How far ahead a due time of an account can lie, in ms: after a successful look, and after a failed one. A due
    time farther ahead was written by a wrong clock, and counts as due now."""

    healthy_ms: int
    failing_ms: int


@dataclass(frozen=True, slots=True)
class Unscheduled:
    """An attempt without a row in `schedule`."""

    state: AttemptState
    attempt_id: str
    account: str
    submit_class: str


def lease_due(
    tx: LedgerTransaction,
    *,
    states: Collection[AttemptState],
    accounts: Mapping[str, MaxWaits],
    lease_ms: int,
    limit: int,
    owner: str,
    videos: Collection[str] | None = None,
    soonest_expiring_first: bool = False,
) -> list[ScheduledAttempt]:
    """Lease up to `limit` due attempts in these states: no other worker gets them for `lease_ms`."""
    attempts, schedule = tables.attempts, tables.schedule
    soonest = (attempts.c.expires_at.asc().nulls_last(),) if soonest_expiring_first else ()
    order = (*soonest, schedule.c.due_at, attempts.c.attempt_id)
    query = (
        select(attempts.c.attempt_id, attempts.c.video_key)
        .join(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(_is_due(states, accounts, tx.now_ms))
        .order_by(*order)
    )
    if videos is None:
        due = [row.attempt_id for row in tx.connection.execute(query.limit(limit))]
    else:
        keys = frozenset(videos)  # a backfill may name more of them than one statement can take
        due = [row.attempt_id for row in tx.connection.execute(query) if row.video_key in keys][:limit]
    whole = select(attempts, *LOOK_COLUMNS).join(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
    leased: list[ScheduledAttempt] = []
    for part in chunks(due):
        rows = tx.connection.execute(whole.where(attempts.c.attempt_id.in_(part)).order_by(*order))
        leased += [scheduled_attempt(row) for row in rows]
        taken = update(schedule).where(schedule.c.attempt_id.in_(part))
        tx.connection.execute(taken.values(due_at=tx.now_ms + lease_ms, owner=owner))
    return leased


def extend_lease(
    tx: LedgerTransaction, attempt_id: str, *, owner: str, until: int, from_owner: str | None = None
) -> bool:
    """Extend a lease from `lease_due` until a moment (UTC ms), or take it from `from_owner` (empty: no worker). Return
    False if another worker has it, or the attempt is no longer scheduled."""
    table = tables.schedule
    own_lease = (table.c.attempt_id == attempt_id) & (table.c.owner == (owner if from_owner is None else from_owner))
    return tx.connection.execute(update(table).where(own_lease).values(due_at=until, owner=owner)).rowcount == 1


def release(tx: LedgerTransaction, attempt_ids: Collection[str], *, owner: str) -> None:
    """Make due now the attempts that the worker has leased and not finished. Attempts that another worker has leased
    since, or that were scheduled anew, stay as they are."""
    table = tables.schedule
    for part in chunks(attempt_ids):
        own_lease = table.c.attempt_id.in_(part) & (table.c.owner == owner)
        tx.connection.execute(update(table).where(own_lease).values(due_at=tx.now_ms, owner=""))


def make_due(tx: LedgerTransaction, account: str) -> None:
    """Make due now the account's scheduled attempts that no worker has leased."""
    table = tables.schedule
    free = (table.c.account == account) & (table.c.owner == "") & (table.c.due_at > tx.now_ms)
    tx.connection.execute(update(table).where(free).values(due_at=tx.now_ms))


def leases_by_owner(connection: Connection) -> dict[str, list[str]]:
    """Return the attempt IDs that workers have leased, by owner."""
    table = tables.schedule
    leased: dict[str, list[str]] = {}
    for row in connection.execute(select(table.c.attempt_id, table.c.owner).where(table.c.owner != "")):
        leased.setdefault(row.owner, []).append(row.attempt_id)
    return leased


def has_due(ledger: Ledger, *, now_ms: int, states: Collection[AttemptState], accounts: Mapping[str, MaxWaits]) -> bool:
    """Return whether `lease_due` would find anything; reads only, so that an idle round writes nothing."""
    attempts, schedule = tables.attempts, tables.schedule
    query = select(schedule.c.attempt_id).join(attempts, attempts.c.attempt_id == schedule.c.attempt_id)
    with ledger.read() as connection:
        return connection.execute(query.where(_is_due(states, accounts, now_ms)).limit(1)).first() is not None


def due_accounts(
    connection: Connection, *, now_ms: int, states: Collection[AttemptState], accounts: Mapping[str, MaxWaits]
) -> frozenset[str]:
    """Return the accounts for which `lease_due` would find anything."""
    if not accounts:
        return frozenset()
    attempts, schedule = tables.attempts, tables.schedule
    # the account of the hint, because for that of the attempt an index of all attempts would be read to the end
    query = select(schedule.c.account).join(attempts, attempts.c.attempt_id == schedule.c.attempt_id)
    return frozenset(connection.execute(query.where(_is_due(states, accounts, now_ms)).distinct()).scalars())


def next_due(connection: Connection, *, after_ms: int) -> int | None:
    """Return the first due time after a moment (UTC ms); None without one."""
    due_at = tables.schedule.c.due_at
    return connection.execute(select(func.min(due_at)).where(due_at > after_ms)).scalar()


def _is_due(states: Collection[AttemptState], accounts: Mapping[str, MaxWaits], now_ms: int) -> ColumnElement[bool]:
    """Return the SQL condition of a due attempt: its time has come, or lies farther ahead than the account's longest
    wait."""
    attempts, schedule = tables.attempts, tables.schedule
    state = of_scheduled(attempts.c.state)
    in_scope = and_(state.in_([state.value for state in states]), schedule.c.account.in_(list(accounts)))
    if not accounts:
        return in_scope
    latest = now_ms + TOLERANCE_MS
    healthy = case({name: latest + waits.healthy_ms for name, waits in accounts.items()}, value=schedule.c.account)
    failing = case({name: latest + waits.failing_ms for name, waits in accounts.items()}, value=schedule.c.account)
    too_far = schedule.c.due_at > case((schedule.c.tries > 0, failing), else_=healthy)
    return and_(in_scope, or_(schedule.c.due_at <= now_ms, too_far))


def scheduled(connection: Connection, attempt_ids: Collection[str]) -> frozenset[str]:
    """Return those of the attempts that are scheduled."""
    table = tables.schedule
    rows = rows_by(connection, select(table.c.attempt_id), table.c.attempt_id, attempt_ids)
    return frozenset(row.attempt_id for row in rows)


def unscheduled(connection: Connection, states: Collection[AttemptState]) -> list[Unscheduled]:
    """Return the attempts in the states that are not scheduled. Hints are not part of the events, and may be lost."""
    attempts, schedule = tables.attempts, tables.schedule
    query = (
        select(attempts.c.state, attempts.c.attempt_id, attempts.c.account, attempts.c.submit_class)
        .outerjoin(schedule, schedule.c.attempt_id == attempts.c.attempt_id)
        .where(attempts.c.state.in_([state.value for state in states]), schedule.c.attempt_id.is_(None))
    )
    return [Unscheduled(AttemptState(state), *values) for state, *values in connection.execute(query)]
