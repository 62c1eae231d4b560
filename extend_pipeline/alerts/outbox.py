"""What each receiver knows and what it is still to get, and one step of its delivery: at least once and in order. A
message that can't be delivered is given up, and all that waits is reported anew."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from extend_pipeline.alerts.decide import Kind, Reported, decide
from extend_pipeline.alerts.delivery import Delivered, Receiver
from extend_pipeline.alerts.marks import join_marks, split_marks
from extend_pipeline.alerts.message import FailedRun, Message, Sender, Waiting, build_message, waiting_marks
from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.base.units import from_ms

FIRST_GAP_S: Final = 60
MAX_GAP_S: Final = 900
"""Seconds between two tries of one message: doubled after each, up to the second."""

MAX_REJECTIONS: Final = 4
MAX_AGE_S: Final = 86_400
"""So many tries of a message that is rejected, and so many seconds of any other, until it is given up: a receiver that
can't take one message would get none of those after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A message that its receiver may not have yet. It stays as it is on each try, and so does its id, by which the
    receiver can drop a repeat. What was decided is read from it (`kind`, `waits`): one more field here would be refused
    by an earlier version, which would report everything anew. `runs_before` is the place in Dagster's storage before
    its failed runs."""

    message: Message
    tries: int = 0
    next_s: int = 0
    runs_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """The state of one receiver. `runs_after` is the place in Dagster's storage up to which failed runs are reported;
    None before the first look, which begins there and then. `settings` is the digest of the receiver's settings.
    `has_lost` says that a message was given up, and none was delivered since."""

    reported: Reported = field(default_factory=Reported)
    runs_after: int | None = None
    pending: Pending | None = None
    settings: str = ""
    has_lost: bool = False

    @classmethod
    def loaded(cls, text: str) -> Self:
        """Return the state from its text. One that can't be read begins anew."""
        try:
            stored: dict[str, Any] = json.loads(text)
            known, pending = stored["reported"], stored["pending"]
            reported = Reported(
                marks=split_marks(known["marks"]),
                urgent=split_marks(known["urgent"]),
                below=known["below"],
                sent_s=known["sent_s"],
                listed_s=known["listed_s"],
            )
            return cls(
                reported=reported,
                runs_after=stored["runs_after"],
                pending=None if pending is None else Pending(**pending),
                settings=stored["settings"],
                has_lost=stored.get("has_lost", False),
            )
        except (ValueError, KeyError, TypeError):
            return cls()

    @property
    def text(self) -> str:
        """Return the state as text."""
        known, pending = self.reported, self.pending
        stored = {
            "reported": {
                "marks": join_marks(known.marks),
                "urgent": join_marks(known.urgent),
                "below": known.below,
                "sent_s": known.sent_s,
                "listed_s": known.listed_s,
            },
            "runs_after": self.runs_after,
            "pending": None if pending is None else asdict(pending),
            "settings": self.settings,
            "has_lost": self.has_lost,
        }
        return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))

    def of_settings(self, settings: str) -> Self:
        """Return the state of the receiver with these settings. Where they have changed it knows nothing, because it
        may be another one; the failed runs of a pending message are read again. An all clear that is pending is tried
        at once, so that a receiver whose settings were wrong closes its case."""
        if self.settings == settings:
            return self
        if self.pending is not None and self.pending.message["kind"] == Kind.ALL_CLEAR.value:
            return replace(self, settings=settings, pending=replace(self.pending, next_s=0))
        runs_after = self.runs_after if self.pending is None else self.pending.runs_before
        return type(self)(runs_after=runs_after, settings=settings, has_lost=self.has_lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What there is to report: what waits, and the failed runs since a receiver's last message, with the place in
    Dagster's storage after them. Unless it `is_whole`, what was reported may wait still."""

    waiting: Sequence[Waiting]
    is_whole: bool = True
    failed_runs: Sequence[FailedRun] = ()
    runs_after: int | None = None


def compose(
    outbox: Outbox, news: News, sender: Sender, *, now_s: int, again_after_s: float, warnings: bool = True
) -> Outbox:
    """Return the state with the message that is due now, if one is (UTC s). While one is pending there is no other.
    Without `warnings`, what is not urgent is left out, unless the receiver knows of it."""
    if outbox.pending is not None:
        return outbox
    known = outbox.reported
    marks = waiting_marks(news.waiting)
    marks = {mark: is_urgent for mark, is_urgent in marks.items() if warnings or is_urgent or mark in known.marks}
    waiting = [thing for thing in news.waiting if thing.marks & marks.keys()]
    decision = decide(
        marks,
        known,
        now_s=now_s,
        again_after_s=again_after_s,
        failed_runs=bool(news.failed_runs),
        is_whole=news.is_whole,
        has_lost=outbox.has_lost,
    )
    outbox = replace(outbox, reported=decision.after)
    if decision.kind is None:
        return outbox if news.failed_runs else replace(outbox, runs_after=news.runs_after)
    message = build_message(
        new_id(),
        decision,
        sender,
        waiting,
        news.failed_runs,
        now_s=now_s,
        is_whole=news.is_whole,
        has_lost=outbox.has_lost,
    )
    runs_before = news.runs_after if outbox.runs_after is None else outbox.runs_after
    pending = Pending(message=message, runs_before=runs_before)
    return replace(outbox, runs_after=news.runs_after, pending=pending)


def deliver(outbox: Outbox, receiver: Receiver, *, now_s: int, save: Callable[[Outbox], None]) -> tuple[Outbox, str]:
    """Try the pending message where its time has come (UTC s). Return the state, and what happened as a part of a
    sentence; empty if nothing is pending. `save` keeps the state before the try, so that a process that is killed
    meanwhile sends the same message again."""
    pending = outbox.pending
    if pending is None:
        return outbox, ""
    wait_s = pending.next_s - now_s
    if 0 < wait_s <= MAX_GAP_S:
        tried = f"not delivered after {pending.tries} {'try' if pending.tries == 1 else 'tries'}"
        return outbox, f"{receiver.name}: {tried}; tried again {_utc(pending.next_s)}"
    save(outbox)
    delivery = receiver.deliver(pending.message, now_ms=now_s * 1000)
    if isinstance(delivery, Delivered):
        # after an alert of failed runs alone, the all clear of what was given up is still to come
        is_owed = outbox.has_lost and pending.message["kind"] == Kind.ALERT.value and not pending.message["waits"]
        sent = replace(outbox, pending=None, has_lost=is_owed)
        return sent, f"{receiver.name}: sent, {delivery.note}: {pending.message['title']}"
    pending = replace(pending, tries=pending.tries + (not delivery.is_setting))
    is_old = not 0 <= now_s - outbox.reported.sent_s < MAX_AGE_S  # it was made when it was taken as reported
    if is_old or (delivery.is_rejected and pending.tries >= MAX_REJECTIONS):
        lost = Outbox(runs_after=pending.runs_before, settings=outbox.settings, has_lost=True)
        return lost, f"{receiver.name}: {delivery.reason}; given up, and all that waits is reported anew"
    if delivery.is_setting:
        return outbox, f"{receiver.name}: {delivery.reason}"
    # after one that was given up, the next one is no reason to try more often
    gap_s = MAX_GAP_S if outbox.has_lost else min(FIRST_GAP_S * 2 ** min(pending.tries - 1, 10), MAX_GAP_S)
    pending = replace(pending, next_s=now_s + gap_s)
    return replace(outbox, pending=pending), f"{receiver.name}: {delivery.reason}; tried again {_utc(pending.next_s)}"


def new_id() -> str:
    """Return the id of a new message."""
    return f"alert_{secrets.token_hex(12)}"


def _utc(seconds: int) -> str:
    return f"{from_ms(seconds * 1000):%Y-%m-%d %H:%M:%S} {UTC_ZONE}"
