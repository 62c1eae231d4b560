"""Reads for plans, status and sensors. Nothing here changes the ledger."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, and_, bindparam, case, false, func, or_, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.attempt_row import HINT_COLUMNS, AttemptRow, Hint, attempt_row, hint
from extend_pipeline.ledger.read.json_rows import all_rows
from extend_pipeline.ledger.read.rows import AccountRow, BackoffRow, CompleteVideo, ContactRow, VideoRow, video_row
from extend_pipeline.ledger.states import ADOPTED, LIVE, UNFINISHED, AttemptState, VideoState

FEW_TRIES = 5  # to fetch a missing file again, within a minute
_CHUNK = 500  # SQLite's older builds take 999 parameters a statement


def among(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the column has one of the values that `rows_by` is given."""
    return column.in_(bindparam("among", expanding=True))


# constants, because a hop sends them, and building a statement takes ten times as long as running it
_ACCOUNTS: Final = select(tables.accounts)
_BACKOFFS: Final = select(tables.backoff)
_CONTACTS: Final = select(tables.contacts)
_ATTEMPT: Final = select(tables.attempts).where(tables.attempts.c.attempt_id == bindparam("attempt_id"))
_SOURCE_PATH: Final = select(tables.videos.c.source_path).where(tables.videos.c.video_key == bindparam("video_key"))
_VIDEOS: Final = select(tables.videos).order_by(tables.videos.c.video_key)
_VIDEOS_OF: Final = _VIDEOS.where(among(tables.videos.c.video_key))
_KEYS_IN: Final = select(tables.videos.c.video_key).where(among(tables.videos.c.state))
_ATTEMPTS_OF: Final = (
    select(tables.attempts)
    .where(among(tables.attempts.c.video_key))
    .order_by(
        tables.attempts.c.video_key, tables.attempts.c.hop, tables.attempts.c.generation, tables.attempts.c.try_no
    )
)
_ATTEMPTS_IN: Final = (
    select(tables.attempts).where(among(tables.attempts.c.state)).order_by(tables.attempts.c.claimed_at)
)
_UNKNOWN_KIND: Final = (
    select(tables.attempts)
    .where(
        tables.attempts.c.state == AttemptState.STORED.value,
        tables.attempts.c.output_kind == "unknown",
        among(tables.attempts.c.account),
    )
    .order_by(tables.attempts.c.stored_at)
)
_EXPIRIES: Final = select(tables.attempts.c.attempt_id, tables.attempts.c.expires_at).where(
    among(tables.attempts.c.attempt_id)
)
_HINTS_OF: Final = select(*HINT_COLUMNS).where(among(tables.schedule.c.attempt_id))
_HEAD: Final = select(tables.ledger_head.c.seq)
_LAST_EVENT_AT: Final = select(tables.events.c.at).order_by(tables.events.c.seq.desc()).limit(1)
_AWAITED: Final = (
    select(func.count()).select_from(tables.attempts).where(tables.attempts.c.state.in_([s.value for s in LIVE]))
)


def videos(connection: Connection, *, keys: Collection[str] | None = None, unfinished: bool = False) -> list[VideoRow]:
    """Return rows of `videos`: all of them or the named ones; `unfinished` leaves out complete and withdrawn videos."""
    if keys is not None:
        rows = [video_row(row) for row in rows_by(connection, _VIDEOS_OF, keys)]
        return [row for row in rows if row.state in UNFINISHED] if unfinished else rows
    query = _VIDEOS.where(among(tables.videos.c.state)) if unfinished else _VIDEOS
    states = {"among": [state.value for state in UNFINISHED]} if unfinished else {}
    return [video_row(row) for row in connection.execute(query, states)]


def withdrawn_at(connection: Connection, video: VideoRow) -> int | None:
    """Return when it was recorded that a video left the catalogue (UTC ms); None if it has not, or if anything was
    recorded about it since."""
    events = tables.events.c
    this = and_(events.seq == video.seq, events.kind == "video_withdrawn")
    return connection.execute(select(events.at).where(this)).scalar()


def source_path(connection: Connection, video_key: str) -> str | None:
    """Return the place of a video's source in the media store; None if it is not stored."""
    return connection.execute(_SOURCE_PATH, {"video_key": video_key}).scalar()


def video_keys(connection: Connection, states: Collection[VideoState]) -> frozenset[str]:
    """Return the keys of the videos in the states. They stand in an index, so that no row is read."""
    return frozenset(key for (key,) in all_rows(connection, _KEYS_IN, {"among": [state.value for state in states]}))


def unfinished_accounts(connection: Connection) -> frozenset[str]:
    """Return the accounts of the videos that are neither complete nor withdrawn."""
    table = tables.videos
    query = select(table.c.account).where(table.c.state.in_([state.value for state in UNFINISHED])).distinct()
    return frozenset(connection.execute(query).scalars())


def complete_videos(connection: Connection, *, keys: Collection[str] | None = None) -> list[CompleteVideo]:
    """Return what the complete videos came to: all of them or the named ones."""
    table = tables.videos
    moved = or_(
        *(
            select(above.c.seq)
            .where(above.c.video_key == table.c.branch_of, above.c.hop <= table.c.branch_hop, above.c.seq > table.c.seq)
            .exists()
            for above in (tables.attempts, tables.step_choices)
        )
    )
    columns = (table.c[name] for name in CompleteVideo._fields if name != "start_moved")
    query = select(*columns, case((table.c.branch_of.is_not(None), moved), else_=false()))
    query = query.where(table.c.state == VideoState.COMPLETE.value)
    rows = (
        connection.execute(query) if keys is None else rows_by(connection, query.where(among(table.c.video_key)), keys)
    )
    return [CompleteVideo._make(row) for row in rows]


def attempts_of(connection: Connection, keys: Collection[str]) -> list[AttemptRow]:
    """Return all attempts of the named videos, in the order hop, claim."""
    return [attempt_row(row) for row in rows_by(connection, _ATTEMPTS_OF, keys)]


def _first_attempt(connection: Connection, query: Select[Any]) -> AttemptRow | None:
    row = connection.execute(query.limit(1)).first()
    return None if row is None else attempt_row(row)


def of_unknown_kind(connection: Connection, accounts: Collection[str]) -> list[AttemptRow]:
    """Return the stored attempts of the accounts whose results could not be classified as full or segment, parents
    first."""
    if not accounts:
        return []
    return [attempt_row(row) for row in connection.execute(_UNKNOWN_KIND, {"among": list(accounts)})]


def attempt(connection: Connection, attempt_id: str) -> AttemptRow | None:
    """Return one attempt; None if there is none with this ID."""
    row = connection.execute(_ATTEMPT, {"attempt_id": attempt_id}).first()
    return None if row is None else attempt_row(row)


def first_hop(connection: Connection, video_key: str) -> AttemptRow | None:
    """Return the stored attempt of a video's first hop, the newest of several; None if there is none."""
    table = tables.attempts
    this = (table.c.video_key == video_key) & (table.c.hop == 1) & (table.c.state == AttemptState.STORED.value)
    return _first_attempt(connection, select(table).where(this).order_by(table.c.stored_at.desc()))


def expiries(connection: Connection, attempt_ids: Collection[str]) -> dict[str, int | None]:
    """Return until when (UTC ms) the providers keep the results of the attempts."""
    return {row.attempt_id: row.expires_at for row in rows_by(connection, _EXPIRIES, attempt_ids)}


def attempts_in(connection: Connection, states: Collection[AttemptState]) -> list[AttemptRow]:
    """Return every attempt in one of the states, oldest claim first."""
    names = [state.value for state in states]
    return [attempt_row(row) for row in connection.execute(_ATTEMPTS_IN, {"among": names})]


def awaited(connection: Connection) -> int:
    """Return how many attempts are live: their results are paid for, or may be, and their files are not stored."""
    return int(connection.execute(_AWAITED).scalar_one())


def predicted_in(connection: Connection, states: Collection[AttemptState]) -> dict[str, int]:
    """Return the micro-units that attempts in these states are predicted to cost, by account."""
    table = tables.attempts
    total = func.sum(table.c.predicted_micros).label("micros")
    query = select(table.c.account, total).where(table.c.state.in_([s.value for s in states])).group_by(table.c.account)
    return {row.account: int(row.micros) for row in connection.execute(query)}


def open_accounts(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many attempts are live, by account and provider."""
    table = tables.attempts
    query = select(table.c.account, table.c.provider, func.count().label("attempts"))
    query = query.where(table.c.state.in_([state.value for state in LIVE])).group_by(table.c.account, table.c.provider)
    return {(row.account, row.provider): int(row.attempts) for row in connection.execute(query)}


def known_task(connection: Connection, account: str, *, at_least_ms: int) -> AttemptRow | None:
    """Return the attempt of the account that was claimed last among those with a known task, after `at_least_ms` (UTC
    ms): the positive control for "no such task". Providers forget tasks after 30 days."""
    return _first_attempt(connection, _known(account, at_least_ms))


def known_key(connection: Connection, account: str, *, at_least_ms: int) -> AttemptRow | None:
    """Return the same among those that a look-up by key can find: the positive control for "no such key". Adopted tasks
    may have no key, and neither had tasks submitted before class A."""
    table = tables.attempts
    keyed = (table.c.external_task_id != "") & (table.c.submit_class == "A")
    return _first_attempt(connection, _known(account, at_least_ms).where(keyed))


def _known(account: str, at_least_ms: int) -> Select[Any]:
    table = tables.attempts
    known = (table.c.account == account) & table.c.task_id.is_not(None) & (table.c.claimed_at > at_least_ms)
    return select(table).where(known).order_by(table.c.claimed_at.desc())


def accounts(connection: Connection) -> dict[str, AccountRow]:
    """Return state and totals by account name; `*` holds a pause of all accounts."""
    return {row.account: AccountRow(*row) for row in connection.execute(_ACCOUNTS)}


def newest_results(connection: Connection, *, limit: int = 1000) -> list[tuple[str, str]]:
    """Return account and URL of the attempts with a result among the `limit` attempts that changed last."""
    table = tables.attempts
    newest = select(table.c.account, table.c.url).order_by(table.c.seq.desc()).limit(limit).subquery()
    return [(row.account, row.url) for row in connection.execute(select(newest).where(newest.c.url.is_not(None)))]


def backoffs(connection: Connection) -> dict[str, BackoffRow]:
    """Return the accounts that back off, by name."""
    return {row.account: BackoffRow(*row) for row in connection.execute(_BACKOFFS)}


def contacts(connection: Connection) -> dict[str, ContactRow]:
    """Return when each account's provider last replied, by account name."""
    return {row.account: ContactRow(*row) for row in connection.execute(_CONTACTS)}


def hints(connection: Connection, attempt_ids: Collection[str]) -> dict[str, Hint]:
    """Return when each of the attempts that is scheduled is due and what the last look at it left, by attempt ID."""
    return {row.attempt_id: hint(row) for row in rows_by(connection, _HINTS_OF, attempt_ids)}


def next_look(
    connection: Connection,
    *,
    accounts: Collection[str] | None = None,
    adopted_since_ms: int = 0,
    videos: Collection[str] | None = None,
    without: Collection[str] = (),
) -> int | None:
    """Return when the next look at a scheduled attempt is due (UTC ms); None if none is scheduled. `accounts` leaves
    out all other accounts, because no worker can poll them, and `videos` and `without` leave out videos. Tasks adopted
    before `adopted_since_ms` and files fetched again in vain are left out, because nothing need wait for them."""
    table, schedule = tables.attempts, tables.schedule
    state = of_scheduled(table.c.state)
    query = (
        select(table.c.video_key, schedule.c.due_at)
        .join(schedule, schedule.c.attempt_id == table.c.attempt_id)
        .where((table.c.chain_digest != ADOPTED) | (table.c.claimed_at >= adopted_since_ms))
        # the next advance looks up what callbacks named for attempts that have ended
        .where(
            state.in_([state.value for state in LIVE])
            | ((state == AttemptState.STORED.value) & (schedule.c.tries < FEW_TRIES))
        )
        .order_by(schedule.c.due_at)
    )
    if accounts is not None:
        query = query.where(schedule.c.account.in_(list(accounts)))
    with connection.execute(query) as rows:  # usually the first one decides
        wanted = (
            row.due_at for row in rows if row.video_key not in without and (videos is None or row.video_key in videos)
        )
        return next(wanted, None)


def first_due(connection: Connection) -> dict[str, int]:
    """Return when the first scheduled attempt of each account is due (UTC ms), for accounts that have one."""
    table = tables.schedule
    query = select(table.c.account, func.min(table.c.due_at).label("due_at")).group_by(table.c.account)
    return {row.account: int(row.due_at) for row in connection.execute(query)}


def of_scheduled(column: Column[str]) -> ColumnElement[str]:
    """Return a column of `attempts` for a condition on scheduled ones. It keeps the database from the column's index,
    by which it would read every attempt that ever ended, and look up each in the few rows of `schedule`."""
    return func.coalesce(column, "")


def head(connection: Connection) -> int:
    """Return the number of the last event."""
    return int(connection.execute(_HEAD).scalar_one())


def last_event_at(connection: Connection) -> int | None:
    """Return when the last event was written, by its writer's clock (UTC ms); None in an empty ledger."""
    value = connection.execute(_LAST_EVENT_AT).scalar()
    return None if value is None else int(value)


def changed_videos(connection: Connection, *, after_seq: int) -> list[str]:
    """Return the keys of videos whose row or attempts changed after an event number."""
    table, attempts = tables.videos, tables.attempts
    keys = set(connection.execute(select(table.c.video_key).where(table.c.seq > after_seq)).scalars())
    keys.update(connection.execute(select(attempts.c.video_key).where(attempts.c.seq > after_seq)).scalars())
    return sorted(keys)


def changed_at(connection: Connection, *, after_seq: int) -> int | None:
    """Return the earliest time (UTC ms) of the last changes of the videos and attempts that changed after an event
    number; None if none did."""
    firsts = (
        connection.execute(select(func.min(table.c.seq)).where(table.c.seq > after_seq)).scalar()
        for table in (tables.videos, tables.attempts)
    )
    seq = min((first for first in firsts if first is not None), default=None)
    at = tables.events.c.at
    return None if seq is None else connection.execute(select(at).where(tables.events.c.seq == seq)).scalar()


def video_keys_after(connection: Connection, key: str, *, limit: int) -> list[str]:
    """Return the first keys of videos after a key, in the database's order."""
    column = tables.videos.c.video_key
    return list(connection.execute(select(column).where(column > key).order_by(column).limit(limit)).scalars())


def rows_by(connection: Connection, query: Select[Any], values: Iterable[str], **parameters: str) -> Iterator[Row[Any]]:
    """Yield the rows of a query with a condition of `among` for these values, however many those are."""
    for part in chunks(values):
        yield from connection.execute(query, {"among": part, **parameters})


def chunks(keys: Iterable[str]) -> Iterable[list[str]]:
    """Return the keys without duplicates, in parts that one statement can take."""
    names = list(dict.fromkeys(keys))
    return (names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK))
