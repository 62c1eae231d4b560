"""Apply a ledger's events again from the first and compare, because the state tables must follow from the events."""

import json
from typing import Any, Final

from sqlalchemy import Connection, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.projection import apply
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.state_rows import StateRows

_CHUNK: Final = 1_000  # events held in memory at a time


def replay(source: Ledger, target: Ledger) -> int:
    """Copy all events into an empty ledger and apply them there. Return how many. The databases may be of two kinds."""
    with source.read() as reading, target.write(now_ms=0, actor="replay") as tx:
        if tx.seq:
            raise ValueError("a replay needs an empty ledger")
        tx.seq = reapply(reading, tx.connection)
    return tx.seq


def reapply(reading: Connection, into: Connection) -> int:
    """Copy all events of one connection's ledger into another's empty tables and apply them there. Return the last
    event's number."""
    by_number = select(tables.events).order_by(tables.events.c.seq).execution_options(yield_per=_CHUNK)
    rows = StateRows(into)
    for row in reading.execute(by_number):
        event = Event(
            row.seq,
            row.at,
            row.kind,
            row.actor,
            row.attempt_id,
            row.video_key,
            row.account,
            json.loads(row.data),
        )
        rows.insert(tables.events, dict(row._mapping))
        apply.apply_event(rows, event)
        if row.seq % _CHUNK == 0:
            rows.forget()  # so that memory is bounded
    rows.flush()
    seq = int(reading.execute(select(tables.ledger_head.c.seq)).scalar_one())
    into.execute(update(tables.ledger_head).values(seq=seq))
    return seq


def differences(left: Ledger, right: Ledger) -> list[str]:
    """Return a line for each row of the projected tables that differs between the ledgers."""
    lines: list[str] = []
    with left.read() as left_reading, right.read() as right_reading:
        for table in tables.PROJECTED:
            keys = [column.name for column in table.primary_key.columns]

            def by_key(
                connection: Any, table: Any = table, keys: list[str] = keys
            ) -> dict[tuple[Any, ...], dict[str, Any]]:
                rows = connection.execute(select(table)).mappings()
                return {tuple(row[key] for key in keys): dict(row) for row in rows}

            left_rows, right_rows = by_key(left_reading), by_key(right_reading)
            for key in sorted(left_rows.keys() | right_rows.keys()):
                row, other = left_rows.get(key), right_rows.get(key)
                if row != other:
                    lines.append(f"{table.name} {'/'.join(map(str, key))}: {row} is not {other}")
    return lines
