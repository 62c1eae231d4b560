"""Move a ledger to another database, so that at every moment exactly one of the two may spend.

The copy is written and verified in one transaction, as `incoming`. One commit in the old ledger seals it and names the
copy. From that commit on the copy is the ledger, and the next process that opens it sets it to `open`. A ledger that is
incoming or sealed takes no writes. Running the same move again continues where it stopped.
"""

import os
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, inspect, select, update
from sqlalchemy.exc import SQLAlchemyError

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.ledger import copying, tables
from extend_pipeline.ledger.address import parse_address, shown_address, without_secrets
from extend_pipeline.ledger.database import Ledger, LedgerError
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.identity import Identity, Standing, read_identity


@dataclass(frozen=True, slots=True)
class Moved:
    """The copy is open and the old ledger sealed. `committed` is micro-units by account. Both maps are empty if an
    earlier run made the copy."""

    ledger_id: str
    seq: int
    address: str
    rows: Mapping[str, int]
    committed: Mapping[str, int]


def settle(ledger: Ledger) -> None:
    """Assign an id to a ledger without one, and open a copy whose origin is sealed in its favour. Costs one read."""
    with ledger.read() as connection:
        head = read_identity(connection)
    if head.ledger_id is None:
        with ledger.alone() as (connection, head):
            if head.ledger_id is None:
                connection.execute(update(tables.ledger_head).values(ledger_id=uuid.uuid4().hex))
    elif head.standing is Standing.INCOMING and (seal := _seal_of_origin(head)) is not None:
        _open(ledger, now_ms=seal.moved_at or 0, actor="ledger copy")


def move(source: Ledger, target: Ledger, *, now_ms: int, actor: str) -> Moved:
    """Copy the source into the target, seal the source, open the target. Raises LedgerError, and changes nothing, if
    the move is not possible."""
    if portable(source.url) == portable(target.url):
        raise LedgerError(f"{shown_address(target.url)} is this very ledger; name another, empty database")
    with source.alone() as (reading, head):
        _refuse_itself(target, head)
        if head.standing is Standing.INCOMING:
            raise LedgerError(f"the ledger at {shown_address(source.url)} {head.why_not_open()}")
        if head.standing is Standing.SEALED:
            return _resume(target, head, now_ms=now_ms, actor=actor)
        _refuse_while_sending(reading, now_ms)
        _prepare(target)
        new_id = uuid.uuid4().hex
        with target.alone() as (writing, target_head):
            _refuse_unless_empty(writing, target_head, head, shown_address(target.url))
            failpoint("copy.before_rows")
            read = copying.copy_rows(reading, writing)
            failpoint("copy.before_verify")
            committed = copying.verify(reading, writing, read)
            writing.execute(
                update(tables.ledger_head).values(
                    seq=head.seq,
                    ledger_id=new_id,
                    standing=Standing.INCOMING.value,
                    origin_id=head.ledger_id,
                    origin_seq=head.seq,
                    origin_url=portable(source.url),
                )
            )
            failpoint("copy.before_target_commit")
        failpoint("copy.after_target_commit")
        reading.execute(
            update(tables.ledger_head).values(
                standing=Standing.SEALED.value, moved_to_id=new_id, moved_to_url=portable(target.url), moved_at=now_ms
            )
        )
        failpoint("copy.before_seal_commit")
    failpoint("copy.after_seal")
    _open(target, now_ms=now_ms, actor=actor)
    failpoint("copy.after_open")
    rows = {name: table_digest.rows for name, table_digest in read.items()}
    return Moved(new_id, head.seq, shown_address(target.url), rows, committed)


def reopen(ledger: Ledger, *, now_ms: int, actor: str, why: str) -> None:
    """Lift the seal of a ledger whose copy is lost, by an operator's decision. Raises LedgerError if the copy is open
    and can be read, because both would then spend."""
    with ledger.alone() as (connection, head):
        copy = None if head.moved_to_url is None else _head_at(head.moved_to_url)
        if copy is not None and copy.ledger_id == head.moved_to_id and copy.standing is Standing.OPEN:
            raise LedgerError(
                f"the ledger at {head.moved_to} is open (event {copy.seq}), so this one stays sealed. "
                f"Set EXTEND_PIPELINE_LEDGER_URL to {head.moved_to}; from there ledger copy moves it on to an empty "
                "database"
            )
        connection.execute(
            update(tables.ledger_head).values(
                standing=Standing.OPEN.value, moved_to_id=None, moved_to_url=None, moved_at=None
            )
        )
        _append(connection, head, "ledger_accepted", {"reopened": head.moved_to, "why": why}, now_ms, actor)


def portable(url: str) -> str:
    """Return a ledger's address without its password and with an absolute path, so that another process can find it. It
    is stored in the ledger; operators are shown `shown_address`."""
    parsed = without_secrets(parse_address(url))
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        parsed = parsed.set(database=os.path.abspath(parsed.database))  # noqa: PTH100 - resolve() would follow links
    return parsed.render_as_string(hide_password=False)


def _refuse_itself(target: Ledger, source: Identity) -> None:
    """Raise LedgerError if another address (a pooler's) leads to the same ledger, because the target's transaction
    would wait for the source's for ever."""
    if not inspect(target.engine).has_table("ledger_head"):
        return
    with target.read() as connection:
        target_id = connection.execute(select(tables.ledger_head.c.ledger_id)).scalar()
    if target_id is not None and target_id == source.ledger_id:
        raise LedgerError(f"{shown_address(target.url)} is this very ledger; name another, empty database")


def _resume(target: Ledger, sealed: Identity, *, now_ms: int, actor: str) -> Moved:
    """Finish a move that was stopped after the seal."""
    target_head = None
    if inspect(target.engine).has_table("ledger_head"):
        with target.read() as connection:
            target_head = read_identity(connection)
    if target_head is None or target_head.ledger_id != sealed.moved_to_id:
        raise LedgerError(
            f"this ledger was moved to {sealed.moved_to} already, not to {shown_address(target.url)}. "
            f"Set EXTEND_PIPELINE_LEDGER_URL to {sealed.moved_to}"
        )
    _open(target, now_ms=now_ms, actor=actor)
    return Moved(str(target_head.ledger_id), sealed.seq, shown_address(target.url), {}, {})


def _prepare(target: Ledger) -> None:
    """Create the tables if there are none. Raises LedgerError if the database holds other tables."""
    names = set(inspect(target.engine).get_table_names())
    if names and not {"alembic_version", "ledger_head"} <= names:
        raise LedgerError(
            f"{shown_address(target.url)} holds tables of something else ({', '.join(sorted(names)[:3])}); "
            "name an empty database"
        )
    target.migrate()


def _refuse_unless_empty(connection: Connection, target_head: Identity, source: Identity, shown: str) -> None:
    """Raise LedgerError if the target holds a ledger. An earlier copy of the same ledger that was never opened is
    emptied instead, because the ledger may have changed since."""
    if target_head.standing is Standing.INCOMING and target_head.origin_id == source.ledger_id:
        copying.remove_rows(connection)
    elif target_head.standing is not Standing.OPEN or target_head.seq or not copying.is_empty(connection):
        raise LedgerError(
            f"{shown} holds a ledger already (event {target_head.seq}), and none is written over; "
            "name an empty database"
        )


def _refuse_while_sending(connection: Connection, now_ms: int) -> None:
    table = tables.attempts
    sending = table.c.state.in_(("claimed", "sending")) & (table.c.lease_until > now_ms)
    busy = connection.execute(select(table.c.video_key, table.c.hop).where(sending).limit(1)).first()
    if busy is not None:
        raise LedgerError(
            f"{busy.video_key}/{busy.hop} is being submitted right now, so nothing was moved. "
            "Try again in a minute; extend-pipeline pause keeps new submits from starting"
        )


def _open(target: Ledger, *, now_ms: int, actor: str) -> None:
    with target.alone() as (connection, head):
        if head.standing is Standing.INCOMING:
            connection.execute(update(tables.ledger_head).values(standing=Standing.OPEN.value))
            _append(connection, head, "ledger_copied", {"origin": head.origin}, now_ms, actor)


def _append(
    connection: Connection, head: Identity, kind: str, data: Mapping[str, object], now_ms: int, actor: str
) -> None:
    writer = LedgerTransaction(connection, now_ms=now_ms, actor=actor, seq=head.seq)
    writer.append(kind, data=data)
    writer.end()


def _seal_of_origin(head: Identity) -> Identity | None:
    """Return the origin's head row if it is sealed in favour of this copy; None if it isn't, or can't be read."""
    try:
        seal = None if head.origin_url is None else _head_at(head.origin_url)
    except LedgerError:  # its driver isn't installed
        return None
    seals_this_copy = seal is not None and seal.standing is Standing.SEALED and seal.moved_to_id == head.ledger_id
    return seal if seals_this_copy else None


def _head_at(url: str) -> Identity | None:
    """Return the head row of the ledger at an address; None if there is none or it can't be read. Raises LedgerError if
    its driver isn't installed."""
    parsed = parse_address(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return None
    try:
        with closing(Ledger(url)) as ledger, ledger.read() as connection:
            return read_identity(connection)
    except SQLAlchemyError:
        return None
