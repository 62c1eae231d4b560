"""Says how the times of a catalogue were taken where that is no matter of course: days alone, and times to come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.fields.moments import EXAMPLE, in_iso_order, is_plain_date
from extend_pipeline.config.files.entries import Row

CLOCK_SLACK: Final = timedelta(days=1)  # clocks and zones of those who write lists are off by hours, not by days
_NAMED: Final = 3


def future_complaints(created_at: datetime | None, *, now: datetime) -> Iterator[FieldIssue]:
    """Yield the complaint about a source that is to be made only later, by more than clocks and zones differ."""
    if created_at is not None and created_at > now + CLOCK_SLACK:
        yield FieldIssue(
            ("source", "created_at"),
            f"is in the future: it is {now:%Y-%m-%dT%H:%M}Z",
            f"Give the time when the source was made, with its zone, such as {EXAMPLE}.",
        )


def time_notes(made: Iterable[tuple[Row, datetime | None]], *, now: datetime) -> Iterator[str]:
    """Yield one sentence for all days alone and one for all times to come, with file and line of the first ones."""
    days: list[Row] = []
    future: list[Row] = []
    for row, created_at in made:
        if created_at is None:
            continue
        if is_plain_date(_written(row)):
            days.append(row)
        if created_at > now:
            future.append(row)
    if days:
        yield f"A created_at that is a day alone is taken as 00:00 UTC of that day: {_listed(days)}."
    if future:
        yield (
            f"A created_at that is less than a day in the future by this machine's clock is taken as it is: "
            f"{_listed(future)}. Look at its zone, and at the clock."
        )


def _written(row: Row) -> str | None:
    source = row.scope.node.child("source")
    written = None if source is None else source.child("created_at")
    return None if written is None else written.text


def _as_read(row: Row) -> str:
    """Return a time as it is written, and with its day in ISO's order where it has another."""
    written = (_written(row) or "").strip()
    read = in_iso_order(written)
    return written if read == written else f"{written} is {read}"


def _listed(rows: list[Row]) -> str:
    named = ", ".join(f"{row.scope.file}:{_line(row)} ({_as_read(row)})" for row in rows[:_NAMED])
    return f"{named} and {len(rows) - _NAMED} more" if len(rows) > _NAMED else named


def _line(row: Row) -> int:
    source = row.scope.node.child("source")
    return row.scope.node.line if source is None else source.children["created_at"][0]
