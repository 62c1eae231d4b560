"""Checks the times of a catalogue: days without a time of day, and times in the future."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from extend_pipeline.config.fields.moments import EXAMPLE, in_iso_order, is_plain_date
from extend_pipeline.config.files.entries import Row
from extend_pipeline.config.issues import FieldIssue

CLOCK_SLACK: Final = timedelta(days=1)  # clocks and zones are off by hours, not by days
_MAX_LISTED: Final = 3


def future_issues(created_at: datetime | None, *, now: datetime) -> Iterator[FieldIssue]:
    """Yield an issue for a source whose time is further in the future than clocks and zones differ."""
    if created_at is not None and created_at > now + CLOCK_SLACK:
        yield FieldIssue(
            ("source", "created_at"),
            f"is in the future: it is {now:%Y-%m-%dT%H:%M}Z",
            f"Give the time when the source was made, with its zone, such as {EXAMPLE}.",
        )


@dataclass(frozen=True, slots=True)
class WrittenTime:
    """A `created_at` as it stands in a file; `shown` is the text, and in ISO's order if its day is in another."""

    file: str
    line: int
    shown: str


def plain_day(row: Row) -> WrittenTime | None:
    """Return an entry's `created_at` if it is a day without a time."""
    return written_time(row) if is_plain_date(_created_at(row)) else None


def written_time(row: Row) -> WrittenTime:
    """Return an entry's `created_at`, which it must have."""
    text = (_created_at(row) or "").strip()
    iso = in_iso_order(text)
    source = row.scope.node.child("source")
    line = row.scope.node.line if source is None else source.children["created_at"][0]
    return WrittenTime(row.scope.file, line, text if iso == text else f"{text} is {iso}")


def time_warnings(days: Sequence[WrittenTime], future: Sequence[WrittenTime]) -> Iterator[str]:
    """Yield one sentence about all days without a time and one about all times in the future, with the file and line of
    the first three."""
    if days:
        yield f"A created_at that is a day alone is taken as 00:00 UTC of that day: {_listed(days)}."
    if future:
        yield (
            f"A created_at that is less than a day in the future by this machine's clock is taken as it is: "
            f"{_listed(future)}. Look at its zone, and at the clock."
        )


def _created_at(row: Row) -> str | None:
    source = row.scope.node.child("source")
    created_at = None if source is None else source.child("created_at")
    return None if created_at is None else created_at.text


def _listed(times: Sequence[WrittenTime]) -> str:
    listed = ", ".join(f"{time.file}:{time.line} ({time.shown})" for time in times[:_MAX_LISTED])
    return f"{listed} and {len(times) - _MAX_LISTED} more" if len(times) > _MAX_LISTED else listed
