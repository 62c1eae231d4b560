"""Compare a published file with the ledger at the file's event number."""

from decimal import Decimal
from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, func, select

from extend_pipeline.base.units import from_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read.chunks import between, videos
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.warehouse.errors import NotPublishedError
from extend_pipeline.warehouse.ledger_changes import Mark, head, mark_at, renamed
from extend_pipeline.warehouse.read import meta, query

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
_Sums = dict[tuple[str, str, str, str], tuple[int, Decimal, Decimal]]  # by account, entry, unit, currency


def compare(ledger: Ledger, target: Path) -> list[str]:
    """Return a sentence for every figure of the published file that differs from the ledger's at `_meta.ledger_seq`.

    Row counts and sums of charges are compared at that number, however far the ledger has advanced; the number of
    videos while none was declared since. The numbers of videos and attempts by state are compared only while it is the
    newest event, because the ledger keeps no earlier states. Nothing is compared after a rename: the next publish makes
    the file anew. Raises NotPublishedError.
    """
    about = meta(target)
    if about is None:
        raise NotPublishedError(target)
    at = Mark(about.ledger_seq, about.ledger_event)
    with ledger.read() as connection:
        if mark_at(connection, at.seq) != at:
            return [
                f"{target} stands at event {at.seq}, which this ledger does not have: the ledger was restored or "
                "replaced. Run extend-pipeline publish."
            ]
        counts = _ledger_counts(connection, at.seq)
        states = _ledger_states(connection) if head(connection) == at else None
    sums = _ledger_sums(ledger, at.seq)
    with ledger.read() as connection:
        if renamed(connection, at.seq):
            return []
    published = dict(query(target, _COUNTS).rows)
    return [
        *_compare_sums(sums, {row[:4]: (row[4], row[5], row[6]) for row in query(target, _SUMS).rows}),
        *_compare_counts(counts, {name: published[name] for name in counts}),
        *([] if states is None else _compare_counts(states, _warehouse_states(target))),
    ]


def _ledger_sums(ledger: Ledger, seq: int) -> _Sums:
    c = tables.charges.c
    keys = (c.account, c.entry, c.unit, c.currency)
    sums = (func.count(), func.sum(c.micros), func.sum(c.amount_micros))
    of_chunk = select(*keys, *sums).where(between(c.video_key), c.seq <= seq).group_by(*keys)
    totals: dict[tuple[str, str, str, str], tuple[int, int, int]] = {}
    for connection, bounds in videos(ledger.read):
        for account, entry, unit, currency, count, micros, amount in connection.execute(of_chunk, bounds):
            before = totals.get((account, entry, unit, currency), (0, 0, 0))
            more = (before[0] + count, before[1] + int(micros), before[2] + int(amount))
            totals[account, entry, unit, currency] = more
    return {key: (count, from_micros(micros), from_micros(amount)) for key, (count, micros, amount) in totals.items()}


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


def _ledger_counts(connection: Connection, seq: int) -> dict[str, int]:
    """Return the row count of each table at that number: what there is now, without what began since. Every row has one
    event that began it, and stored attempts stay stored."""
    e = tables.events.c

    def since(*kinds: str) -> int:
        query = select(func.count()).where(e.seq > seq, e.kind.in_(kinds))
        return int(connection.execute(query).scalar_one())

    def now(table: Table, *conditions: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())

    is_stored = tables.attempts.c.state == AttemptState.STORED.value
    stored = now(tables.attempts, is_stored) - since("attempt_stored")
    counts = {
        "extension_requests": now(tables.attempts) - since("attempt_claimed", "attempt_adopted"),
        "completed_extensions": stored,
        "lineage": stored,
    }
    if not since("video_declared"):
        counts["source_videos"] = now(tables.videos)
    return counts


def _ledger_states(connection: Connection) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, table in (("source_videos", tables.videos), ("extension_requests", tables.attempts)):
        rows = connection.execute(select(table.c.state, func.count()).group_by(table.c.state))
        counts.update({f"{name} in state {row[0]}": int(row[1]) for row in rows})
    return counts


def _warehouse_states(target: Path) -> dict[str, int]:
    return {f"{name} in state {state}": count for name, state, count in query(target, _STATES).rows}


def _compare_counts(ledger: dict[str, int], warehouse: dict[str, int]) -> list[str]:
    return [
        f"{name}: {warehouse.get(name, 0)} in the warehouse, {ledger.get(name, 0)} in the ledger"
        for name in sorted(ledger.keys() | warehouse.keys())
        if warehouse.get(name, 0) != ledger.get(name, 0)
    ]
