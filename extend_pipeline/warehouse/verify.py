"""Compare a published file with the ledger at the file's event number."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, distinct, func, select

from extend_pipeline.base.units import from_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse.errors import NotPublishedError
from extend_pipeline.warehouse.ledger_changes import Mark, head, mark_at
from extend_pipeline.warehouse.read import meta, query

_SUMS: Final = """
    SELECT account, entry, unit, currency, count(*), coalesce(sum(units), 0), coalesce(sum(amount), 0)
    FROM charges GROUP BY account, entry, unit, currency
"""
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM source_videos), (SELECT count(*) FROM extension_requests),
           (SELECT count(*) FROM completed_extensions), (SELECT count(*) FROM lineage)
"""
_STATES: Final = """
    SELECT 'source_videos', state, count(*) FROM source_videos GROUP BY state
    UNION ALL SELECT 'extension_requests', state, count(*) FROM extension_requests GROUP BY state
"""
_Sums = dict[tuple[str, str, str, str], tuple[int, Decimal, Decimal]]  # by account, entry, unit, currency


def compare(ledger: Ledger, target: Path) -> list[str]:
    """Return a sentence for every figure of the published file that differs from the ledger's at `_meta.ledger_seq`.

    Row counts and sums of charges are compared at that number, however far the ledger has advanced. The numbers of
    videos and attempts by state are compared only while it is the newest event, because the ledger keeps no earlier
    states. Raises NotPublishedError.
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
        sums = _ledger_sums(connection, at.seq)
        counts = _ledger_counts(connection, at.seq)
        states = _ledger_states(connection) if head(connection) == at else None
    return [
        *_compare_sums(sums, {row[:4]: (row[4], row[5], row[6]) for row in query(target, _SUMS).rows}),
        *_compare_counts(counts, dict(zip(counts, query(target, _COUNTS).rows[0], strict=True))),
        *([] if states is None else _compare_counts(states, _warehouse_states(target))),
    ]


def _ledger_sums(connection: Connection, seq: int) -> _Sums:
    c = tables.charges.c
    keys = (c.account, c.entry, c.unit, c.currency)
    sums = (func.count(), func.sum(c.micros), func.sum(c.amount_micros))
    rows = connection.execute(select(*keys, *sums).where(c.seq <= seq).group_by(*keys))
    return {
        (row[0], row[1], row[2], row[3]): (row[4], from_micros(int(row[5])), from_micros(int(row[6]))) for row in rows
    }


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
    """Return the row count of each table at that number, from the events: every row has one event that began it."""
    e = tables.events.c

    def events(counted: Any, *kinds: str) -> int:
        return int(connection.execute(select(counted).where(e.kind.in_(kinds), e.seq <= seq)).scalar_one())

    stored = events(func.count(distinct(e.attempt_id)), "attempt_stored")
    return {
        "source_videos": events(func.count(distinct(e.video_key)), "video_declared"),
        "extension_requests": events(func.count(distinct(e.attempt_id)), "attempt_claimed", "attempt_adopted"),
        "completed_extensions": stored,
        "lineage": stored,
    }


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
