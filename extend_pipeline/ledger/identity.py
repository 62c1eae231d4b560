"""The identity of a ledger: its id, the number of its last event, and whether it takes writes."""

import hashlib
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, bindparam, select

from extend_pipeline.base.units import from_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.address import shown_address


class Standing(StrEnum):
    """Whether a ledger takes writes."""

    OPEN = "open"
    INCOMING = "incoming"
    """A copy. Its own row does not show whether its origin has been sealed."""
    SEALED = "sealed"
    """It was copied to another database, which takes the writes instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The row of `ledger_head`. `origin_*` name the source of an incoming or opened copy, and the last event copied;
    `moved_*` name the copy of a sealed ledger. Addresses hold no password."""

    ledger_id: str | None
    seq: int
    standing: Standing
    origin_id: str | None
    origin_seq: int | None
    origin_url: str | None
    moved_to_id: str | None
    moved_to_url: str | None
    moved_at: int | None

    @property
    def origin(self) -> str:
        """Return the address of the ledger that this one was copied from, for an operator to read."""
        return shown_address(self.origin_url or "")

    @property
    def moved_to(self) -> str:
        """Return the address of a sealed ledger's copy, for an operator to read."""
        return shown_address(self.moved_to_url or "")

    def why_not_open(self) -> str:
        """Return why the ledger takes no writes and what to do, as the end of a sentence."""
        if self.standing is Standing.SEALED:
            when = f" on {from_ms(self.moved_at):%Y-%m-%d %H:%M} UTC" if self.moved_at is not None else ""
            return (
                f"was moved to {self.moved_to}{when} and takes no writes any more. "
                f"Set EXTEND_PIPELINE_LEDGER_URL to {self.moved_to}"
            )
        return (
            f"is an unfinished copy of {self.origin}, which is not sealed or can't be read, so this copy spends "
            f"nothing. Finish it: extend-pipeline ledger copy --to THIS, with EXTEND_PIPELINE_LEDGER_URL set to "
            f"{self.origin}"
        )


_NAMES: Final = tuple(field.name for field in fields(Identity))
_HEAD: Final = select(*(tables.ledger_head.c[name] for name in _NAMES))
_LOCKED_HEAD: Final = _HEAD.with_for_update()
_EVENT: Final = select(tables.events).where(tables.events.c.seq == bindparam("seq"))
_ANY_ATTEMPT: Final = select(tables.attempts.c.attempt_id).limit(1)


def read_identity(connection: Connection, *, lock: bool = False) -> Identity:
    """Read the head row; `lock` keeps other writers out until the transaction ends.

    Selects only the columns that exist since revision 0006, because the state of a copy or an origin must be readable
    while an older version works with it.
    """
    row = connection.execute(_LOCKED_HEAD if lock else _HEAD).one()
    return Identity(**{**dict(zip(_NAMES, row, strict=True)), "standing": Standing(row.standing)})


def written_by(connection: Connection) -> str | None:
    """Return the version of this program that wrote last; None if that was before versions were recorded."""
    return connection.execute(select(tables.ledger_head.c.program)).scalar()


def event_digest(connection: Connection, seq: int) -> str:
    """Return a digest of the event with this number, by which two histories are distinguished; empty if there is
    none."""
    row = connection.execute(_EVENT, {"seq": seq}).first()
    return "" if row is None else hashlib.sha256(repr(tuple(row)).encode("utf-8", "surrogatepass")).hexdigest()


def has_attempts(connection: Connection) -> bool:
    """Return whether there is an attempt."""
    return connection.execute(_ANY_ATTEMPT).first() is not None
