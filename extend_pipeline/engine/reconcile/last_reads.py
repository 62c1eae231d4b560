"""The status of the providers' statements (list, bill, invoice): when each was last read, and how many of its tasks are
unrelated to this home."""

from dataclasses import astuple, dataclass
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import statements
from extend_pipeline.ledger.write.statements import StatementRow

UNAVAILABLE_MS: Final = 3 * 86_400_000
"""A statement that can't be read for three days needs the operator, because differences would go unseen."""


@dataclass(frozen=True, slots=True)
class StatementStatus(StatementRow):
    """One statement of an account, with texts for the operator."""

    def is_long_unavailable(self, now_ms: int) -> bool:
        """Return whether it has been unavailable for so long that the operator must look."""
        return self.unavailable_since is not None and now_ms - self.unavailable_since >= UNAVAILABLE_MS

    @property
    def unavailable_text(self) -> str:
        """Return a sentence on what can't be read, since when and why; empty where it can be read."""
        if self.unavailable_since is None:
            return ""
        last = "never" if self.read_at is None else f"last on {from_ms(self.read_at):%Y-%m-%d}"
        since = f"{from_ms(self.unavailable_since):%Y-%m-%d %H:%M} UTC"
        statement = f"the {self.source} of account {self.account}"
        return f"{statement} can't be read since {since} ({last} compared): {self.unavailable_message}"

    @property
    def others_text(self) -> str:
        """Return a sentence on its unrelated tasks; empty where there are none."""
        newest = "" if self.others_newest_at is None else f", the newest of {from_ms(self.others_newest_at):%Y-%m-%d}"
        return f"account {self.account}, {self.source}: {others_text(self.others)}{newest}" if self.others else ""


def others_text(count: int) -> str:
    """Return a sentence on how many tasks of a statement are unrelated to this home."""
    tasks = f"{counted(count, 'task')} {'is' if count == 1 else 'are'}"
    return f"{tasks} none of this home's (other people's, or no extensions): neither booked nor fetched"


def statements_now(pipeline: Pipeline) -> tuple[StatementStatus, ...]:
    """Return the status of every statement that was ever requested for an account in accounts.yaml."""
    with pipeline.ledger.read() as connection:
        rows = statements.all_of(connection)
    return tuple(StatementStatus(*astuple(row)) for row in rows if row.account in pipeline.accounts)
