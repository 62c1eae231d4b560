"""The queue of due attempts: workers lease them, so that two do not do the same work. All of its rows may be lost
at the cost of one poll each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, bindparam, case, exists, func, or_, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.clock import TOLERANCE_MS
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read.attempt_row import (
    DUE_COLUMNS,
    LOOK_COLUMNS,
    DueAttempt,
    ScheduledAttempt,
    scheduled_attempt,
)
from extend_pipeline.ledger.read.queries import among, chunks, of_scheduled, rows_by
from extend_pipeline.ledger.states import POLLED, AttemptState


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


class WithoutRoom(NamedTuple):
    """A paid result that our own disk did not take, and what the last look at it has left for people."""

    video_key: str
    hop: int
    note: str

    @property
    def where(self) -> str:
        """Return VIDEO/HOP, as operators type it."""
        return f"{self.video_key}/{self.hop}"


class _Turn(NamedTuple):
    """What waits in the queue for one account in one state, after successful looks or failed ones: the first due time,
    the last one, and the first one after now (UTC ms)."""

    account: str
    state: str
    is_failing: bool
    first_ms: int
    last_ms: int
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue as one statement shows it, by account and state."""

    turns: Sequence[_Turn]
    now_ms: int

    def due(self, states: Collection[AttemptState], accounts: Mapping[str, MaxWaits]) -> frozenset[str]:
        """Return the accounts for which `lease_due` would find anything."""
        return frozenset(
            turn.account
            for turn in self.turns
            if turn.state in states and turn.account in accounts and self._is_due(turn, accounts[turn.account])
        )

    def _is_due(self, turn: _Turn, waits: MaxWaits) -> bool:
        wait_ms = waits.failing_ms if turn.is_failing else waits.healthy_ms
        return turn.first_ms <= self.now_ms or turn.last_ms > self.now_ms + TOLERANCE_MS + wait_ms

    @property
    def next_ms(self) -> int | None:
        """Return the first due time after now (UTC ms); None without one."""
        return min((turn.next_ms for turn in self.turns if turn.next_ms is not None), default=None)


# constants, because building a statement takes longer than running it
_ATTEMPTS, _SCHEDULE = tables.attempts, tables.schedule
_FAILING: Final = case((_SCHEDULE.c.tries > 0, 1), else_=0)
_TURNS: Final = (
    select(
        _SCHEDULE.c.account,
        _ATTEMPTS.c.state,
        _FAILING,
        func.min(_SCHEDULE.c.due_at),
        func.max(_SCHEDULE.c.due_at),
        func.min(case((_SCHEDULE.c.due_at > bindparam("now_ms"), _SCHEDULE.c.due_at))),
    )
    # an outer join, so that SQLite reads the few rows of `schedule` first
    .outerjoin(_ATTEMPTS, _ATTEMPTS.c.attempt_id == _SCHEDULE.c.attempt_id)
    .group_by(_SCHEDULE.c.account, _ATTEMPTS.c.state, _FAILING)
)
_TURN_OF_EACH: Final = select(
    _ATTEMPTS.c.video_key, _SCHEDULE.c.account, _ATTEMPTS.c.state, _FAILING, _SCHEDULE.c.due_at
).outerjoin(_ATTEMPTS, _ATTEMPTS.c.attempt_id == _SCHEDULE.c.attempt_id)
_SCHEDULED: Final = select(_SCHEDULE.c.attempt_id).where(among(_SCHEDULE.c.attempt_id))
_LEASES: Final = select(_SCHEDULE.c.attempt_id, _SCHEDULE.c.owner).where(_SCHEDULE.c.owner != "")
_UNLEASED_WITHOUT_ROOM: Final = select(_SCHEDULE.c.attempt_id).where(
    _SCHEDULE.c.cause == LookCause.NO_ROOM.value, _SCHEDULE.c.owner == ""
)
_WITHOUT_ROOM: Final = (
    select(_ATTEMPTS.c.video_key, _ATTEMPTS.c.hop, _SCHEDULE.c.note)
    .select_from(_SCHEDULE.outerjoin(_ATTEMPTS, _ATTEMPTS.c.attempt_id == _SCHEDULE.c.attempt_id))
    .where(_SCHEDULE.c.cause == LookCause.NO_ROOM.value, _SCHEDULE.c.account.in_(bindparam("accounts", expanding=True)))
    .order_by(_SCHEDULE.c.attempt_id)
    .limit(1)
)
_UNSCHEDULED: Final = (
    select(_ATTEMPTS.c.state, _ATTEMPTS.c.attempt_id, _ATTEMPTS.c.account, _ATTEMPTS.c.submit_class)
    .outerjoin(_SCHEDULE, _SCHEDULE.c.attempt_id == _ATTEMPTS.c.attempt_id)
    .where(among(_ATTEMPTS.c.state), _SCHEDULE.c.attempt_id.is_(None))
)
_OF_IDS: Final = _SCHEDULE.c.attempt_id.in_(bindparam("ids", expanding=True))
_LEASED: Final[dict[str, Any]] = {"due_at": bindparam("until"), "owner": bindparam("worker")}
_TAKE: Final = update(_SCHEDULE).where(_OF_IDS).values(_LEASED)
_STILL_RUNNING: Final = (
    update(_SCHEDULE)
    .where(
        _OF_IDS,
        exists().where(
            _ATTEMPTS.c.attempt_id == _SCHEDULE.c.attempt_id, _ATTEMPTS.c.state.in_([state.value for state in POLLED])
        ),
    )
    .values({"due_at": bindparam("until"), "owner": "", **asdict(LastLook())})
)
_RELEASE: Final = update(_SCHEDULE).where(_OF_IDS, _SCHEDULE.c.owner == bindparam("held_by")).values(_LEASED)
_EXTEND: Final = (
    update(_SCHEDULE)
    .where(_SCHEDULE.c.attempt_id == bindparam("of"), _SCHEDULE.c.owner == bindparam("held_by"))
    .values(_LEASED)
)
_EXTEND_ALL: Final = (
    update(_SCHEDULE)
    .where(_OF_IDS, _SCHEDULE.c.owner == bindparam("held_by"))
    .values(due_at=bindparam("until"))
    .returning(_SCHEDULE.c.attempt_id)
)
_NOTE_ON_DOUBTS: Final = (
    update(_SCHEDULE)
    .where(
        _SCHEDULE.c.account == bindparam("name"),
        _SCHEDULE.c.note == "",
        _SCHEDULE.c.attempt_id.in_(
            select(_ATTEMPTS.c.attempt_id).where(_ATTEMPTS.c.state == AttemptState.IN_DOUBT.value)
        ),
    )
    .values(note=bindparam("why"))
)


@cache
def _due(*, soonest_expiring_first: bool, limited: bool) -> Select[Any]:
    """Return the query of the attempts that are due: their time has come, or lies farther ahead than the longest
    wait."""
    ends_ms = case((_SCHEDULE.c.tries > 0, bindparam("failing_ms")), else_=bindparam("healthy_ms"))
    query = (
        select(*DUE_COLUMNS)
        .join(_SCHEDULE, _SCHEDULE.c.attempt_id == _ATTEMPTS.c.attempt_id)
        .where(
            of_scheduled(_ATTEMPTS.c.state).in_(bindparam("states", expanding=True)),
            _SCHEDULE.c.account.in_(bindparam("accounts", expanding=True)),
            or_(_SCHEDULE.c.due_at <= bindparam("now_ms"), _SCHEDULE.c.due_at > ends_ms),
        )
        .order_by(*_order(soonest_expiring_first))
    )
    return query.limit(bindparam("most")) if limited else query


@cache
def _whole(*, soonest_expiring_first: bool) -> Select[Any]:
    query = select(_ATTEMPTS, *LOOK_COLUMNS).join(_SCHEDULE, _SCHEDULE.c.attempt_id == _ATTEMPTS.c.attempt_id)
    return query.where(_OF_IDS).order_by(*_order(soonest_expiring_first))


def _order(soonest_expiring_first: bool) -> tuple[Any, ...]:
    soonest = (_ATTEMPTS.c.expires_at.asc().nulls_last(),) if soonest_expiring_first else ()
    return (*soonest, _SCHEDULE.c.due_at, _ATTEMPTS.c.attempt_id)


def _place(row: DueAttempt, *, soonest_expiring_first: bool) -> tuple[Any, ...]:
    """Return what orders the rows of several queries as each of them is ordered."""
    soonest = (row.expires_at is None, row.expires_at or 0) if soonest_expiring_first else ()
    return (*soonest, row.due_at, row.attempt_id)


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
    found = _find_due(tx, states, accounts, limit, videos, soonest_expiring_first=soonest_expiring_first)
    due = [row.attempt_id for row in found]
    query = _whole(soonest_expiring_first=soonest_expiring_first)
    leased = [scheduled_attempt(row) for part in chunks(due) for row in tx.connection.execute(query, {"ids": part})]
    _take(tx, due, until=tx.now_ms + lease_ms, owner=owner)
    return leased


def lease_tasks(
    tx: LedgerTransaction,
    *,
    accounts: Mapping[str, MaxWaits],
    lease_ms: int,
    limit: int,
    owner: str,
    videos: Collection[str] | None = None,
) -> list[DueAttempt]:
    """Lease up to `limit` running tasks that are due, as `lease_due` does, and read no more than a poll needs."""
    due = _find_due(tx, POLLED, accounts, limit, videos)
    _take(tx, [row.attempt_id for row in due], until=tx.now_ms + lease_ms, owner=owner)
    return due


def still_running(tx: LedgerTransaction, attempt_ids: Collection[str], *, due_at: int) -> None:
    """Set when the attempts are polled again (UTC ms), after a poll that showed nothing new. Does nothing for those
    whose task no longer runs."""
    for part in chunks(attempt_ids):
        tx.connection.execute(_STILL_RUNNING, {"ids": part, "until": due_at})


def _find_due(
    tx: LedgerTransaction,
    states: Collection[AttemptState],
    accounts: Mapping[str, MaxWaits],
    limit: int,
    videos: Collection[str] | None,
    *,
    soonest_expiring_first: bool = False,
) -> list[DueAttempt]:
    query = _due(soonest_expiring_first=soonest_expiring_first, limited=videos is None)
    keys = None if videos is None else frozenset(videos)  # may be more of them than one statement can take
    alike: dict[MaxWaits, list[str]] = {}
    for name, waits in accounts.items():
        alike.setdefault(waits, []).append(name)
    rows: list[DueAttempt] = []
    for waits, names in alike.items():
        latest = tx.now_ms + TOLERANCE_MS
        values = {"states": [state.value for state in states], "accounts": names, "now_ms": tx.now_ms}
        values |= {"healthy_ms": latest + waits.healthy_ms, "failing_ms": latest + waits.failing_ms}
        found = tx.connection.execute(query, values | ({"most": limit} if keys is None else {}))
        rows += [row for row in map(DueAttempt._make, found.all()) if keys is None or row.video_key in keys]
    if len(alike) > 1:
        rows.sort(key=partial(_place, soonest_expiring_first=soonest_expiring_first))
    return rows[:limit]


def _take(tx: LedgerTransaction, attempt_ids: Collection[str], *, until: int, owner: str) -> None:
    for part in chunks(attempt_ids):
        tx.connection.execute(_TAKE, {"ids": part, "until": until, "worker": owner})


def extend_lease(
    tx: LedgerTransaction, attempt_id: str, *, owner: str, until: int, from_owner: str | None = None
) -> bool:
    """Extend a lease from `lease_due` until a moment (UTC ms), or take it from `from_owner` (empty: no worker). Return
    False if another worker has it, or the attempt is no longer scheduled."""
    held_by = owner if from_owner is None else from_owner
    values = {"of": attempt_id, "held_by": held_by, "until": until, "worker": owner}
    return tx.connection.execute(_EXTEND, values).rowcount == 1


def extend_leases(tx: LedgerTransaction, attempt_ids: Collection[str], *, owner: str, until: int) -> frozenset[str]:
    """Extend the worker's leases on the attempts until a moment (UTC ms). Return those that it still had."""
    values = {"held_by": owner, "until": until}
    return frozenset(
        attempt_id
        for part in chunks(attempt_ids)
        for attempt_id in tx.connection.execute(_EXTEND_ALL, {"ids": part, **values}).scalars()
    )


def release(tx: LedgerTransaction, attempt_ids: Collection[str], *, owner: str) -> None:
    """Make due now the attempts that the worker has leased and not finished. Attempts that another worker has leased
    since, or that were scheduled anew, stay as they are."""
    for part in chunks(attempt_ids):
        tx.connection.execute(_RELEASE, {"ids": part, "held_by": owner, "until": tx.now_ms, "worker": ""})


def unleased_without_room(connection: Connection) -> list[str]:
    """Return the IDs of the attempts whose result our own disk did not take, and which no worker has leased."""
    return list(connection.execute(_UNLEASED_WITHOUT_ROOM).scalars())


def first_without_room(connection: Connection, accounts: Collection[str]) -> WithoutRoom | None:
    """Return a result of the accounts that our own disk did not take, whether a worker fetches it again now or not;
    None without one."""
    row = connection.execute(_WITHOUT_ROOM, {"accounts": list(accounts)}).first()
    return None if row is None else WithoutRoom._make(row)


def make_due(tx: LedgerTransaction, account: str) -> None:
    """Make due now the account's scheduled attempts that no worker has leased."""
    table = tables.schedule
    free = (table.c.account == account) & (table.c.owner == "") & (table.c.due_at > tx.now_ms)
    tx.connection.execute(update(table).where(free).values(due_at=tx.now_ms))


def note_on_doubts(tx: LedgerTransaction, account: str, note: str) -> None:
    """Leave a note on the account's attempts in doubt at which no look has left one: their account did not reply, so
    that none of them was looked up."""
    tx.connection.execute(_NOTE_ON_DOUBTS, {"name": account, "why": note})


def leases_by_owner(connection: Connection) -> dict[str, list[str]]:
    """Return the attempt IDs that workers have leased, by owner."""
    leased: dict[str, list[str]] = {}
    for row in connection.execute(_LEASES):
        leased.setdefault(row.owner, []).append(row.attempt_id)
    return leased


def read_queue(connection: Connection, *, now_ms: int, videos: Collection[str] | None = None) -> Queue:
    """Return what waits in the queue, or only what waits there for these videos, by one statement."""
    if videos is None:
        return Queue([_Turn(*row) for row in connection.execute(_TURNS, {"now_ms": now_ms})], now_ms)
    keys = frozenset(videos)  # may be more of them than one statement can take
    turns = [
        _Turn(account, state, is_failing, due_at, due_at, due_at if due_at > now_ms else None)
        for key, account, state, is_failing, due_at in connection.execute(_TURN_OF_EACH)
        if key in keys
    ]
    return Queue(turns, now_ms)


def has_due(
    ledger: Ledger,
    *,
    now_ms: int,
    states: Collection[AttemptState],
    accounts: Mapping[str, MaxWaits],
    videos: Collection[str] | None = None,
) -> bool:
    """Return whether `lease_due` would find anything; reads only, so that an idle round writes nothing."""
    if not accounts:
        return False
    with ledger.read() as connection:
        return bool(read_queue(connection, now_ms=now_ms, videos=videos).due(states, accounts))


def scheduled(connection: Connection, attempt_ids: Collection[str]) -> frozenset[str]:
    """Return those of the attempts that are scheduled."""
    return frozenset(row.attempt_id for row in rows_by(connection, _SCHEDULED, attempt_ids))


def unscheduled(connection: Connection, states: Collection[AttemptState]) -> list[Unscheduled]:
    """Return the attempts in the states that are not scheduled. Hints are not part of the events, and may be lost."""
    rows = connection.execute(_UNSCHEDULED, {"among": [state.value for state in states]})
    return [Unscheduled(AttemptState(state), *values) for state, *values in rows]
