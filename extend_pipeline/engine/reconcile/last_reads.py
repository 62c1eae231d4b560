"""The status of the providers' statements (list, bill, invoice): when each was last read, and how many of its tasks are
unrelated to this home."""

from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import statements

UNAVAILABLE_MS: Final = 3 * 86_400_000
"""A statement that can't be read for three days needs the operator, because differences would go unseen."""


@dataclass(frozen=True, slots=True)
class StatementStatus:
    """One statement of an account. `read_ms` is when it was last read (UTC ms, exact to a day), `unavailable_since_ms`
    since when it can't be read (None where it can) and `why`. `others` counts its tasks that are unrelated to this
    home; `others_newest_ms` (UTC) dates the newest."""

    account: str
    source: str
    read_ms: int | None
    unavailable_since_ms: int | None
    why: str
    others: int
    others_newest_ms: int | None

    def is_long_unavailable(self, now_ms: int) -> bool:
        """Return whether it has been unavailable for so long that the operator must look."""
        return self.unavailable_since_ms is not None and now_ms - self.unavailable_since_ms >= UNAVAILABLE_MS

    @property
    def unavailable_text(self) -> str:
        """Return a sentence on what can't be read, since when and why; empty where it can be read."""
        if self.unavailable_since_ms is None:
            return ""
        last = "never" if self.read_ms is None else f"last on {from_ms(self.read_ms):%Y-%m-%d}"
        since = f"{from_ms(self.unavailable_since_ms):%Y-%m-%d %H:%M} UTC"
        return f"the {self.source} of account {self.account} can't be read since {since} ({last} compared): {self.why}"

    @property
    def others_text(self) -> str:
        """Return a sentence on its unrelated tasks; empty where there are none."""
        newest = "" if self.others_newest_ms is None else f", the newest of {from_ms(self.others_newest_ms):%Y-%m-%d}"
        return f"account {self.account}, {self.source}: {others_text(self.others)}{newest}" if self.others else ""


def others_text(count: int) -> str:
    """Return a sentence on how many tasks of a statement are unrelated to this home."""
    tasks = f"{counted(count, 'task')} {'is' if count == 1 else 'are'}"
    return f"{tasks} none of this home's (other people's, or no extensions): neither booked nor fetched"


def statements_now(pipeline: Pipeline) -> tuple[StatementStatus, ...]:
    """Return the status of every statement that was ever requested for an account in accounts.yaml."""
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
