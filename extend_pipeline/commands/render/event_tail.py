"""Follow the ledger's events while work goes on, as one line an event, from any process."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, bindparam, select

from extend_pipeline.base.units import from_micros
from extend_pipeline.base.wording import shortened
from extend_pipeline.commands.render.text import clock, plain, seconds
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow, attempt_row

_AT_ONCE: Final = 500  # events that are read at a time
_MAX_MESSAGE: Final = 300  # characters of a provider's message in a line

_SILENT: Final = frozenset({"attempt_claimed", "attempt_sending", "attempt_url_refreshed", "source_stored"})
ROUTINE: Final = frozenset({"attempt_submitted", "attempt_processing", "attempt_succeeded"})
"""Kinds of events that a live table shows too, so that their lines can be left out."""


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event as a line of text."""

    at_ms: int
    where: str
    text: str
    kind: str

    def line(self, timezone: str) -> str:
        """Return the line as `12:00:03 harbour-dawn/2 submitted`, with the time in a time zone."""
        return f"{clock(self.at_ms, timezone)} {self.where} {self.text}"


_EVENTS: Final = tables.events.c
_NEW_EVENTS: Final = (
    select(_EVENTS.seq, _EVENTS.at, _EVENTS.kind, _EVENTS.data, _EVENTS.account.label("of_account"))
    .add_columns(_EVENTS.video_key.label("of_video"), tables.attempts)
    .outerjoin(tables.attempts, tables.attempts.c.attempt_id == _EVENTS.attempt_id)
    .where(_EVENTS.seq > bindparam("after"))
    .order_by(_EVENTS.seq)
    .execution_options(yield_per=_AT_ONCE)
)


class EventTail:
    """Reader of the ledger's new events, with `counts` of them by kind."""

    def __init__(self, ledger: Ledger, *, videos: Collection[str] | None = None) -> None:
        self._ledger = ledger
        self._videos = videos
        with ledger.read() as connection:
            self._seq = queries.head(connection)
        self.counts: dict[str, int] = {}

    def new_lines(self) -> list[EventLine]:
        """Return the lines of all events since the last call, oldest first."""
        lines: list[EventLine] = []
        with self._ledger.read() as connection:
            for row in connection.execute(_NEW_EVENTS, {"after": self._seq}):
                lines += self._line(row)
                self._seq = row.seq
        return lines

    def _line(self, row: Row[Any]) -> list[EventLine]:
        """Count an event and return its line; empty if the event is not shown."""
        key = row.of_video or row.video_key
        if self._videos is not None and key is not None and key not in self._videos:
            return []
        self.counts[row.kind] = self.counts.get(row.kind, 0) + 1
        if row.kind in _SILENT:
            return []
        attempt = None if row.hop is None else attempt_row(row[-len(AttemptRow._fields) :])
        text = describe_event(row.kind, json.loads(row.data), attempt)
        if text is None:
            return []
        where = f"{row.video_key}/{row.hop}" if row.hop is not None else key or f"account {row.of_account}"
        return [EventLine(row.at, where, text, row.kind)]


def describe_event(kind: str, data: Mapping[str, Any], attempt: AttemptRow | None) -> str | None:
    """Return the text of an event; None if it is not shown. `attempt` is the attempt's current row, if it has one."""
    message = shortened(str(data.get("error_message") or data.get("message") or data.get("why") or ""), _MAX_MESSAGE)
    match kind:
        case "attempt_submitted":
            found_by = data.get("found_by", "post")
            return "submitted" if found_by == "post" else f"is task {data.get('task_id')}, found by {found_by}"
        case "attempt_processing":
            return "runs"
        case "attempt_succeeded":
            return "has succeeded, fetching it"
        case "attempt_stored" if attempt is not None:
            return _stored(attempt)
        case "attempt_absent":
            return "was looked up and not found"
        case "video_withdrawn":
            return f"left the catalogue; {message or 'what is paid is still fetched'}"
        case "charged_less":
            charged, predicted = (plain(from_micros(data[f"{name}_micros"])) for name in ("charged", "predicted"))
            return f"was charged {charged} {data['unit']}, {predicted} were predicted; work goes on, status says more"
        case "resubmit_allowed":
            text = "may be paid for again"
        case _:
            if kind not in _TEXTS:
                return None
            text = _TEXTS[kind]
    return f"{text}: {message}" if message else text


_TEXTS: Final[Mapping[str, str]] = {
    "attempt_in_doubt": "in doubt",
    "attempt_rejected": "refused",
    "attempt_released": "released, nothing was made",
    "attempt_failed": "failed",
    "attempt_quarantined": "result is no valid video",
    "attempt_result_lost": "is lost: it was paid and can't be fetched any more",
    "attempt_written_off": "written off",
    "attempt_adopted": "adopted: booked, and fetched like any other",
    "late_answer": "got a late response, kept as evidence",
    "upstream_went_back": "went back to an earlier state at the provider, ignored",
    "file_missing": "is gone from the media store",
    "file_restored": "is in the media store again",
    "file_lost": "is gone from the media store and can't be fetched any more",
    "attempt_file_replaced": "was fetched again with other bytes than before",
    "account_stopped": "stopped",
    "account_paused": "paused",
    "account_resumed": "resumed",
    "key_refused": "key refused",
    "key_accepted": "another key is accepted, and it starts again",
    "account_stop_lifted": "goes on",
    "account_silent": "did not reply to a submit",
    "account_replied": "replies again",
}


def _stored(attempt: AttemptRow) -> str:
    before, after = seconds(attempt.parent_duration_ms), seconds(attempt.film_ms)
    units = attempt.settled_micros if attempt.settled_micros is not None else attempt.predicted_micros
    length = f"{before} s → {after} s" if before is not None else f"{after} s"
    return f"stored {length}, {plain(from_micros(units))} {attempt.unit}"
