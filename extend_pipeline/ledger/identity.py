"""Which ledger this is: its id, the number of its last event, and whether it may be written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from enum import StrEnum

from sqlalchemy import Connection, select

from extend_pipeline.base.units import from_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.address import shown_address


class Standing(StrEnum):
    """Whether a ledger takes writes."""

    OPEN = "open"
    INCOMING = "incoming"
    """A copy whose origin has not been sealed yet, as far as this row tells."""
    SEALED = "sealed"
    """It was copied to another place, which is written instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The row of `ledger_head`. `origin_*` tell what an incoming or opened copy was made from, and up to which event;
    `moved_*` where a sealed ledger goes on. Addresses hold no password."""

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
        """Return where an incoming or opened copy was made from, for a person to read."""
        return shown_address(self.origin_url or "")

    @property
    def moved_to(self) -> str:
        """Return where a sealed ledger goes on, for a person to read."""
        return shown_address(self.moved_to_url or "")

    def why_not_open(self) -> str:
        """Return why it takes no writes and what to do, as the end of a sentence."""
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


def read_identity(connection: Connection, *, lock: bool = False) -> Identity:
    """Read the head row; `lock` keeps other writers out until the transaction ends.

    Names the columns that each ledger has since it has an identity (revision 0006): whether a copy or an origin lives
    must be seen where only an older version works with it, too.
    """
    head = tables.ledger_head
    query = select(*(head.c[field.name] for field in fields(Identity)))
    row = connection.execute(query.with_for_update() if lock else query).one()
    return Identity(
        ledger_id=row.ledger_id,
        seq=row.seq,
        standing=Standing(row.standing),
        origin_id=row.origin_id,
        origin_seq=row.origin_seq,
        origin_url=row.origin_url,
        moved_to_id=row.moved_to_id,
        moved_to_url=row.moved_to_url,
        moved_at=row.moved_at,
    )


def written_by(connection: Connection) -> str | None:
    """Return the version of this program that noted itself last; None where that was before versions were noted."""
    return connection.execute(select(tables.ledger_head.c.program)).scalar()


def event_digest(connection: Connection, seq: int) -> str:
    """Return a digest of the event with this number, by which two histories can be told apart; empty where there is
    none."""
    table = tables.events
    row = connection.execute(select(table).where(table.c.seq == seq)).first()
    return "" if row is None else hashlib.sha256(repr(tuple(row)).encode("utf-8", "surrogatepass")).hexdigest()


def has_attempts(connection: Connection) -> bool:
    """Return whether anything was ever claimed."""
    return connection.execute(select(tables.attempts.c.attempt_id).limit(1)).first() is not None
