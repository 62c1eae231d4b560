"""Checks the times of a catalogue: days without a time of day, and times in the future."""

from collections.abc import Iterable, Iterator
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


def time_warnings(created: Iterable[tuple[Row, datetime | None]], *, now: datetime) -> Iterator[str]:
    """Yield one sentence about all days without a time and one about all times in the future, with the file and line of
    the first three."""
    days: list[Row] = []
    future: list[Row] = []
    for row, created_at in created:
        if created_at is None:
            continue
        if is_plain_date(_created_at(row)):
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


def _created_at(row: Row) -> str | None:
    source = row.scope.node.child("source")
    created_at = None if source is None else source.child("created_at")
    return None if created_at is None else created_at.text


def _as_read(row: Row) -> str:
    """Return a time as it is written, and in ISO's order if its day is in another."""
    text = (_created_at(row) or "").strip()
    iso = in_iso_order(text)
    return text if iso == text else f"{text} is {iso}"


def _listed(rows: list[Row]) -> str:
    listed = ", ".join(f"{row.scope.file}:{_line(row)} ({_as_read(row)})" for row in rows[:_MAX_LISTED])
    return f"{listed} and {len(rows) - _MAX_LISTED} more" if len(rows) > _MAX_LISTED else listed


def _line(row: Row) -> int:
    source = row.scope.node.child("source")
    return row.scope.node.line if source is None else source.children["created_at"][0]
