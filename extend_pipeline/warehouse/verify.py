"""Compare a published file with the ledger at the file's event number: all of it, or with the ledger's figures at an
earlier event, at which both agreed, and what changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select

from extend_pipeline.base.units import from_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.identity import event_digest
from extend_pipeline.ledger.read.chunks import between, events
from extend_pipeline.ledger.read.held import Held, Proof, can_go_on, renamed
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.warehouse.ledger_changes import Mark, head, mark_at
from extend_pipeline.warehouse.read import fetch, reading_with_meta

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SUMS: Final = """
    SELECT account, entry, unit, currency, count(*), coalesce(sum(units), 0), coalesce(sum(amount), 0)
    FROM charges GROUP BY account, entry, unit, currency
"""
_COUNTS: Final = """
    SELECT 'source_videos', count(*) FROM source_videos
    UNION ALL SELECT 'extension_requests', count(*) FROM extension_requests
    UNION ALL SELECT 'completed_extensions', count(*) FROM completed_extensions
    UNION ALL SELECT 'lineage', count(*) FROM lineage
"""
_STATES: Final = """
    SELECT 'source_videos', state, count(*) FROM source_videos GROUP BY state
    UNION ALL SELECT 'extension_requests', state, count(*) FROM extension_requests GROUP BY state
"""
_CHANGED_STATES: Final = {
    "source_videos": "SELECT state, count(*) FROM source_videos WHERE video_key IN (SELECT unnest(?)) GROUP BY state",
    "extension_requests": (
        "SELECT state, count(*) FROM extension_requests WHERE attempt_id IN (SELECT unnest(?)) GROUP BY state"
    ),
}
_KEYS: Final = {"source_videos": tables.videos.c.video_key, "extension_requests": tables.attempts.c.attempt_id}
_Sums = dict[tuple[str, ...], tuple[int, Decimal, Decimal]]  # by account, entry, unit, currency


def compare(ledger: Ledger, target: Path, *, since: Held | None = None) -> Proof:
    """Compare the published file with the ledger at `_meta.ledger_seq`. The ledger's figures are those at the event at
    which both agreed, with what came since, or are read whole if the ledger can't go on from there.

    Row counts and sums of charges are compared at that number, however far the ledger has advanced; the number of
    videos while none was declared since. The numbers of videos and attempts by state are compared only while it is the
    newest event, because the ledger keeps no earlier states; of the rows that changed, or of all. Nothing is compared
    after a rename: the next publish makes the file anew. A file that replaces this one meanwhile is not looked at.
    Raises NotPublishedError.
    """
    with reading_with_meta(target) as (file, about):
        at = Mark(about.ledger_seq, about.ledger_event)
        with ledger.read() as connection:
            if mark_at(connection, at.seq) != at:
                message = (
                    f"{target} stands at event {at.seq}, which this ledger does not have: the ledger was restored or "
                    "replaced. Run extend-pipeline publish."
                )
                return Proof([message], None, is_whole=True, rows=0)
            if since is not None and not (since.seq <= at.seq and can_go_on(connection, since)):
                since = None
            counts = _ledger_counts(connection, at.seq, since)
            states = _ledger_states(connection) if since is None and head(connection) == at else None
            event = event_digest(connection, at.seq)
        sums, rows = _ledger_sums(ledger, at.seq, since)
        published_states = {} if states is None else _warehouse_states(file)
        if since is not None:
            states, published_states = _changed_states(ledger, file, at, since)
        with ledger.read() as connection:
            if renamed(connection, at.seq):
                return Proof([], None, since is None, rows)
        published = dict(fetch(file, _COUNTS).rows)
        published_sums = {row[:4]: (row[4], row[5], row[6]) for row in fetch(file, _SUMS).rows}
        differences = [
            *_compare_sums(_in_units(sums), published_sums),
            *_compare_counts(counts, {name: published[name] for name in counts}),
            *_compare_counts(states or {}, published_states),
        ]
    return Proof(differences, Held(at.seq, event, {**sums, **_as_sums(counts)}), since is None, rows)


def _as_sums(counts: Mapping[str, int]) -> dict[tuple[str, ...], tuple[int, ...]]:
    return {(name,): (count,) for name, count in counts.items()}


def _ledger_sums(ledger: Ledger, seq: int, since: Held | None) -> tuple[dict[tuple[str, ...], tuple[int, ...]], int]:
    """Return the number of charges, their units and amounts (millionths) by account, entry, unit and currency, and how
    many charges were read for it."""
    c = tables.charges.c
    keys = (c.account, c.entry, c.unit, c.currency)
    sums = (func.count(), func.sum(c.micros), func.sum(c.amount_micros))
    of_chunk = select(*keys, *sums).where(between(c.seq)).group_by(*keys)
    totals = {key: figures for key, figures in since.sums.items() if len(key) == len(keys)} if since else {}
    rows = 0
    for connection, bounds in events(ledger.read, since.seq if since else 0, seq):
        for account, entry, unit, currency, count, micros, amount in connection.execute(of_chunk, bounds):
            before = totals.get((account, entry, unit, currency), (0, 0, 0))
            more = (before[0] + count, before[1] + int(micros), before[2] + int(amount))
            totals[account, entry, unit, currency] = more
            rows += count
    return totals, rows


def _in_units(sums: Mapping[tuple[str, ...], tuple[int, ...]]) -> _Sums:
    return {key: (count, from_micros(micros), from_micros(amount)) for key, (count, micros, amount) in sums.items()}


def _compare_sums(ledger: _Sums, warehouse: _Sums) -> list[str]:
    differences = []
    nothing = (0, Decimal(0), Decimal(0))
    for key in sorted(ledger.keys() | warehouse.keys()):
        published, recorded = warehouse.get(key, nothing), ledger.get(key, nothing)
        if published != recorded:
            account, entry, unit, currency = key
            differences.append(
                f"charges of {account}, {entry}: the warehouse has {published[0]} rows, {published[1]} {unit}, "
                f"{published[2]} {currency}; the ledger {recorded[0]} rows, {recorded[1]} {unit}, {recorded[2]} "
                f"{currency}"
            )
    return differences


def _ledger_counts(connection: Connection, seq: int, since: Held | None) -> dict[str, int]:
    """Return the row count of each table at that number: what there is now, without what began since, or what there was
    at an earlier number, with what began since. Every row has one event that began it, and stored attempts stay
    stored."""
    e = tables.events.c

    def begun(when: ColumnElement[bool], *kinds: str) -> int:
        return int(connection.execute(select(func.count()).where(when, e.kind.in_(kinds))).scalar_one())

    def now(table: Table, *conditions: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())

    def then(name: str, table: Table, *kinds: str, where: Sequence[ColumnElement[bool]] = ()) -> int:
        if since is not None:
            return since.sums[name,][0] + begun(between_both, *kinds)
        return now(table, *where) - begun(later, *kinds)

    later, between_both = e.seq > seq, and_(e.seq > (since.seq if since else seq), e.seq <= seq)
    is_stored = tables.attempts.c.state == AttemptState.STORED.value
    stored = then("completed_extensions", tables.attempts, "attempt_stored", where=[is_stored])
    counts = {
        "extension_requests": then("extension_requests", tables.attempts, "attempt_claimed", "attempt_adopted"),
        "completed_extensions": stored,
        "lineage": stored,
    }
    if not begun(later, "video_declared"):
        known = None if since is None or begun(between_both, "video_declared") else since.sums.get(("source_videos",))
        counts["source_videos"] = now(tables.videos) if known is None else known[0]
    return counts


def _ledger_states(connection: Connection) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, table in (("source_videos", tables.videos), ("extension_requests", tables.attempts)):
        rows = connection.execute(select(table.c.state, func.count()).group_by(table.c.state))
        counts.update({f"{name} in state {row[0]}": int(row[1]) for row in rows})
    return counts


def _changed_states(
    ledger: Ledger, file: DuckDBPyConnection, at: Mark, since: Held
) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many of the rows that changed since are in each state, in the ledger and in the file; nothing once the
    ledger has gone on."""
    states: dict[str, Counter[str]] = {"ledger": Counter(), "file": Counter()}
    for name, key in _KEYS.items():
        keys: list[str] = []
        for connection, bounds in events(ledger.read, since.seq, at.seq):
            if head(connection) != at:
                return {}, {}
            rows = connection.execute(select(key, key.table.c.state).where(between(key.table.c.seq)), bounds).all()
            keys += [row[0] for row in rows]
            states["ledger"].update(f"{name} in state {state}" for _, state in rows)
        published = fetch(file, _CHANGED_STATES[name], [keys]).rows if keys else []
        states["file"].update({f"{name} in state {state}": count for state, count in published})
    return states["ledger"], states["file"]


def _warehouse_states(file: DuckDBPyConnection) -> dict[str, int]:
    return {f"{name} in state {state}": count for name, state, count in fetch(file, _STATES).rows}


def _compare_counts(ledger: dict[str, int], warehouse: dict[str, int]) -> list[str]:
    return [
        f"{name}: {warehouse.get(name, 0)} in the warehouse, {ledger.get(name, 0)} in the ledger"
        for name in sorted(ledger.keys() | warehouse.keys())
        if warehouse.get(name, 0) != ledger.get(name, 0)
    ]
