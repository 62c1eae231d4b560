"""Copy all rows of one ledger's database into another's and compare the two, in chunks."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, delete, func, insert, select

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, LedgerError
from extend_pipeline.ledger.projection import replay

CHUNK: Final = 1_000  # rows held in memory at a time

COPIED: Final[tuple[Table, ...]] = tuple(t for t in tables.metadata.sorted_tables if t.name != "ledger_head")
"""Every table but the head row, parents before those that refer to them."""


@dataclass(frozen=True, slots=True)
class Digest:
    """The number of rows of a table and the sum of their hashes, which does not depend on the order of the rows."""

    rows: int = 0
    sum: int = 0

    def plus(self, row: Row[Any]) -> Digest:
        """Return the digest with one more row."""
        hashed = hashlib.sha256(repr(tuple(row)).encode("utf-8", "surrogatepass")).digest()
        return Digest(self.rows + 1, (self.sum + int.from_bytes(hashed)) % 2**256)


def is_empty(connection: Connection) -> bool:
    """Return whether no table has a row."""
    return all(connection.execute(select(table).limit(1)).first() is None for table in COPIED)


def remove_rows(connection: Connection) -> None:
    """Delete every row of a copy that was never opened."""
    for table in reversed(COPIED):
        connection.execute(delete(table))


def copy_rows(source: Connection, target: Connection) -> dict[str, Digest]:
    """Copy all tables. Return the digest of the rows read, by table."""
    digests = {}
    for table in COPIED:
        total = Digest()
        result = source.execute(select(table).execution_options(yield_per=CHUNK))
        for rows in result.partitions(CHUNK):
            target.execute(insert(table), [dict(row._mapping) for row in rows])
            for row in rows:
                total = total.plus(row)
        digests[table.name] = total
        failpoint("copy.mid_rows")
    return digests


def verify(source: Connection, target: Connection, read: dict[str, Digest]) -> dict[str, int]:
    """Compare the copy with the rows read, with the sums of charges, and with a replay of its events. Return the
    micro-units committed by account. Raises LedgerError with the difference."""
    for table in COPIED:
        if digest(target, table) != read[table.name]:
            raise LedgerError(f"the copy's table {table.name} is not what was read; nothing was moved")
    sums = committed(source)
    if sums != committed(target):
        raise LedgerError(f"the copy's charges sum to {committed(target)}, the ledger's to {sums}; nothing was moved")
    with (
        TemporaryDirectory(prefix="extend-pipeline-") as folder,
        closing(Ledger(f"sqlite:///{Path(folder)}/replay.sqlite")) as scratch,
    ):
        scratch.migrate()
        with scratch.alone() as (connection, _):
            replay.reapply(target, connection)
            for table in tables.PROJECTED:
                if digest(connection, table) != read[table.name]:
                    raise LedgerError(
                        f"a replay of the events makes another table {table.name} than the ledger has; nothing was "
                        "moved. Look at it first: extend-pipeline doctor"
                    )
    return sums


def digest(connection: Connection, table: Table) -> Digest:
    """Return the digest of one table."""
    total = Digest()
    for row in connection.execute(select(table).execution_options(yield_per=CHUNK)):
        total = total.plus(row)
    return total


def committed(connection: Connection) -> dict[str, int]:
    """Return the sum of charges (micro-units) by account."""
    table = tables.charges
    query = select(table.c.account, func.sum(table.c.micros)).group_by(table.c.account)
    return {account: int(micros) for account, micros in connection.execute(query)}
