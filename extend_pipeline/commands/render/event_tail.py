"""Follows the ledger's events while work goes on, and tells each as one line, whichever process did it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, select

from extend_pipeline.base.units import from_micros
from extend_pipeline.commands.render.text import clock, plain, seconds, shortened
from extend_pipeline.engine.plan.inputs import output_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read import queries

_AT_ONCE: Final = 500  # events read in one go; the rest come with the next look
_MAX_WORDS: Final = 300  # characters of a provider's words in a line

_SILENT: Final = frozenset({"attempt_claimed", "attempt_sending", "attempt_url_refreshed", "source_stored"})
_ROUTINE: Final = frozenset({"attempt_submitted", "attempt_processing", "attempt_succeeded"})


@dataclass(frozen=True, slots=True)
class Happening:
    """One event as a line. `routine` ones are left out where a table shows the state anyway."""

    at_ms: int
    where: str
    text: str
    kind: str

    @property
    def routine(self) -> bool:
        """Return whether it only says that things go on as they should."""
        return self.kind in _ROUTINE

    def line(self) -> str:
        """`12:00:03 harbour-dawn/2 submitted`; the time is that of the home's zone."""
        return f"{clock(self.at_ms)} {self.where} {self.text}"


class EventTail:
    """Reads what is new in the ledger since it was made or last asked."""

    def __init__(self, ledger: Ledger, *, videos: Collection[str] | None = None) -> None:
        self._ledger = ledger
        self._videos = videos
        with ledger.read() as connection:
            self._seq = queries.head(connection)
        self.counts: dict[str, int] = {}

    def news(self) -> list[Happening]:
        """Return what happened since the last call, oldest first."""
        events, attempts = tables.events, tables.attempts
        told: list[Happening] = []
        query = (
            select(events.c.seq, events.c.at, events.c.kind, events.c.data, events.c.account.label("of_account"))
            .add_columns(events.c.video_key.label("of_video"), attempts)
            .outerjoin(attempts, attempts.c.attempt_id == events.c.attempt_id)
            .where(events.c.seq > self._seq)
            .order_by(events.c.seq)
            .limit(_AT_ONCE)
        )
        while True:
            with self._ledger.read() as connection:
                rows = list(connection.execute(query))
            for row in rows:
                told += self._told(row)
            if rows:
                self._seq = rows[-1].seq
            if len(rows) < _AT_ONCE:
                return told
            query = query.where(events.c.seq > self._seq)

    def _told(self, row: Row[Any]) -> list[Happening]:
        key = row.of_video or row.video_key
        if self._videos is not None and key is not None and key not in self._videos:
            return []
        self.counts[row.kind] = self.counts.get(row.kind, 0) + 1
        if row.kind in _SILENT:
            return []
        words = describe(row.kind, json.loads(row.data), row)
        if words is None:
            return []
        where = f"{row.video_key}/{row.hop}" if row.hop is not None else key or f"account {row.of_account}"
        return [Happening(row.at, where, words, row.kind)]


def describe(kind: str, data: Mapping[str, Any], attempt: Any) -> str | None:
    """Return an event in words; None for what nobody watches. `attempt` is the attempt's row as it is now."""
    said = shortened(str(data.get("error_message") or data.get("message") or data.get("why") or ""), _MAX_WORDS)
    match kind:
        case "attempt_submitted":
            found = data.get("found_by", "post")
            return "submitted" if found == "post" else f"is task {data.get('task_id')}, found by {found}"
        case "attempt_processing":
            return "runs"
        case "attempt_succeeded":
            return "is made, fetching it"
        case "attempt_stored":
            return _stored(attempt)
        case "attempt_absent":
            return "was looked up and not found"
        case "video_withdrawn":
            return "left the catalogue; what is paid is still fetched"
        case "charged_less":
            charged, predicted = (plain(from_micros(data[f"{name}_micros"])) for name in ("charged", "predicted"))
            return f"was charged {charged} {data['unit']}, {predicted} were predicted; work goes on, status says more"
        case "resubmit_allowed":
            return _with("may be paid for again", said)
        case _:
            known = _WORDS.get(kind)
            return None if known is None else _with(known, said)


_WORDS: Final[Mapping[str, str]] = {
    "attempt_in_doubt": "in doubt",
    "attempt_rejected": "refused",
    "attempt_released": "released, nothing was made",
    "attempt_failed": "failed",
    "attempt_quarantined": "came as no sound video",
    "attempt_result_lost": "is lost: it was paid and can't be fetched any more",
    "attempt_written_off": "written off",
    "attempt_adopted": "taken over: booked, and fetched like any",
    "late_answer": "got an answer after its time, kept as evidence",
    "upstream_went_back": "went back at the provider, ignored",
    "file_missing": "is gone from the media store",
    "file_restored": "is in the media store again",
    "file_lost": "is gone from the media store and can't be had any more",
    "attempt_file_replaced": "came again with other bytes than before",
    "account_stopped": "stopped",
    "account_paused": "paused",
    "account_resumed": "resumed",
    "key_refused": "key refused",
    "key_accepted": "another key is accepted, and it starts again",
    "account_stop_lifted": "goes on",
}


def _with(words: str, said: str) -> str:
    return f"{words}: {said}" if said else words


def _stored(attempt: Any) -> str:
    before, after = seconds(attempt.parent_duration_ms), seconds(output_ms(attempt))
    units = attempt.settled_micros if attempt.settled_micros is not None else attempt.predicted_micros
    grown = f"{before} s → {after} s" if before is not None else f"{after} s"
    return f"stored {grown}, {plain(from_micros(units))} {attempt.unit}"
