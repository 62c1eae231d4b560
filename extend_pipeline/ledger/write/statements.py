"""When each of a provider's statements (its list, its bill, an invoice) was last read, since when it can't be, and how
many of its tasks are none of this home's."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Row, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction

FRESH_MS: Final = 20 * 3_600_000
"""A statement that was read so lately and shows nothing else is not written down again: once a day is enough."""


def record_read(tx: LedgerTransaction, *, account: str, source: str, others: int, others_newest_at: int | None) -> None:
    """Write down that a statement was read now, and how many of its tasks are not this home's (UTC ms of the newest,
    where it is dated)."""
    row = _of(tx.connection, account, source)
    fresh = row is not None and row.unread_since is None and tx.now_ms - row.read_at < FRESH_MS
    if row is not None and fresh and (row.others, row.others_newest_at) == (others, others_newest_at):
        return
    data = {"source": source, "others": others, "others_newest_at": others_newest_at}
    tx.append("statement_read", account=account, data=data)


def record_unread(tx: LedgerTransaction, *, account: str, source: str, message: str) -> None:
    """Write down that a statement was asked for and not read, and why; nothing where that is known already."""
    row = _of(tx.connection, account, source)
    if row is None or row.unread_message != message:
        tx.append("statement_unread", account=account, data={"source": source, "message": message})


def all_of(connection: Connection) -> list[Row[Any]]:
    """Return every statement that was ever asked for: a few an account."""
    table = tables.statements
    return list(connection.execute(select(table).order_by(table.c.account, table.c.source)))


def _of(connection: Connection, account: str, source: str) -> Row[Any] | None:
    table = tables.statements
    return connection.execute(select(table).where(table.c.account == account, table.c.source == source)).first()
