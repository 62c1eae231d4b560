"""The last read of each of a provider's statements (its list, its bill, an invoice), since when it can't be read, and
how many of its tasks are unrelated to this home."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction


@dataclass(frozen=True, slots=True)
class StatementRow:
    """When a statement was last read (UTC ms, exact to a day), since when it can't be read (None where it can) and why.
    `others` counts its tasks that are unrelated to this home; `others_newest_at` (UTC ms) dates the newest."""

    account: str
    source: str
    read_at: int | None
    unavailable_since: int | None
    unavailable_message: str | None
    others: int
    others_newest_at: int | None
    seq: int


FRESH_MS: Final = 20 * 3_600_000
"""A statement read this recently (ms) with the same result is not written down again, because once a day is enough."""


def record_read(tx: LedgerTransaction, *, account: str, source: str, others: int, others_newest_at: int | None) -> None:
    """Record that a statement was read now, how many of its tasks are unrelated, and the newest one's date (UTC
    ms), if it has one."""
    row = _of(tx.connection, account, source)
    fresh = (
        row is not None
        and row.unavailable_since is None
        and row.read_at is not None
        and tx.now_ms - row.read_at < FRESH_MS
    )
    if row is not None and fresh and (row.others, row.others_newest_at) == (others, others_newest_at):
        return
    data = {"source": source, "others": others, "others_newest_at": others_newest_at}
    tx.append("statement_read", account=account, data=data)


def record_unavailable(tx: LedgerTransaction, *, account: str, source: str, message: str) -> None:
    """Record that a statement could not be read, and why; nothing if that is known."""
    row = _of(tx.connection, account, source)
    if row is None or row.unavailable_message != message:
        tx.append("statement_unread", account=account, data={"source": source, "message": message})


def all_of(connection: Connection) -> list[StatementRow]:
    """Return every statement that was ever queried: a few for each account."""
    table = tables.statements
    query = select(table).order_by(table.c.account, table.c.source)
    return [StatementRow(*row) for row in connection.execute(query)]


def _of(connection: Connection, account: str, source: str) -> StatementRow | None:
    table = tables.statements
    row = connection.execute(select(table).where(table.c.account == account, table.c.source == source)).first()
    return None if row is None else StatementRow(*row)
