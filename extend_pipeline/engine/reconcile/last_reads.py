"""The providers' statements (list, bill, invoice) as a person asks about them: when each was last read, and what of it
is somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import statements

UNREAD_MS: Final = 3 * 86_400_000
"""A statement that is asked for and not read for so long is a person's business: differences would go unseen."""


@dataclass(frozen=True, slots=True)
class StatementStatus:
    """One statement of an account. `read_ms` is when it was last read (UTC ms, exact to a day), `unread_since_ms` since
    when it is asked for in vain and `why`; None where it can be read."""

    account: str
    source: str
    read_ms: int | None
    unread_since_ms: int | None
    why: str
    others: int
    others_newest_ms: int | None

    def is_unread_long(self, now_ms: int) -> bool:
        """Return whether it has been asked for in vain for so long that somebody must look."""
        return self.unread_since_ms is not None and now_ms - self.unread_since_ms >= UNREAD_MS

    @property
    def unread_words(self) -> str:
        """Say what can't be read, since when and why; empty where it can be."""
        if self.unread_since_ms is None:
            return ""
        last = "never" if self.read_ms is None else f"last on {from_ms(self.read_ms):%Y-%m-%d}"
        since = f"{from_ms(self.unread_since_ms):%Y-%m-%d %H:%M} UTC"
        return f"the {self.source} of account {self.account} can't be read since {since} ({last} compared): {self.why}"

    @property
    def others_words(self) -> str:
        """Say how many of its tasks are none of this home's; empty where there are none."""
        newest = "" if self.others_newest_ms is None else f", the newest of {from_ms(self.others_newest_ms):%Y-%m-%d}"
        told = others_words(self.others)
        return f"account {self.account}, {self.source}: {told}{newest}" if self.others else ""


def others_words(count: int) -> str:
    """Say how many tasks of a statement are none of this home's."""
    tasks = f"{counted(count, 'task')} {'is' if count == 1 else 'are'}"
    return f"{tasks} none of this home's (other people's, or no extensions): neither booked nor fetched"


def statements_now(pipeline: Pipeline) -> tuple[StatementStatus, ...]:
    """Return every statement of the accounts of accounts.yaml that was ever asked for."""
    with pipeline.ledger.read() as connection:
        rows = statements.all_of(connection)
    return tuple(
        StatementStatus(
            row.account,
            row.source,
            row.read_at,
            row.unavailable_since,
            row.unavailable_message or "",
            row.others,
            row.others_newest_at,
        )
        for row in rows
        if row.account in pipeline.accounts
    )
