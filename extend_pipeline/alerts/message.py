"""Build the message of an alert: JSON with a version, bounded in bytes, and a plain text of it for chats."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from extend_pipeline.alerts.decide import Decision, Kind
from extend_pipeline.alerts.marks import mark_of
from extend_pipeline.base.wording import counted, first_lines, shortened

VERSION: Final = 1
MAX_ITEMS: Final = 50  # of each list; the counts are always exact
MAX_BYTES: Final = 32_768
MAX_NAMES: Final = 5  # videos of one item
MAX_LINES: Final = 10  # of the text
MAX_CELL: Final = 500  # characters
MAX_LINE: Final = 300
MAX_URL: Final = 2_000

_INERT: Final = str.maketrans({"<": "‹", ">": "›", "@": "＠"})
"""What chats read as a link or as a call to everyone, in a provider's words too."""

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One thing that waits for a person, as it is reported. `ids` identify it: it is new where one of them is.
    `sentence` says all of it in a line."""

    ids: tuple[str, ...]
    kind: str
    videos: tuple[str, ...] = ()
    hop: int | None = None
    account: str = ""
    message: str
    charge: str = ""
    words: str = ""
    todo: str
    is_urgent: bool = False
    sentence: str

    @property
    def marks(self) -> frozenset[str]:
        """Return the marks of its ids."""
        return frozenset(map(mark_of, self.ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """A run that failed: its job, the first line of its error, and a link where one is known."""

    run_id: str
    job: str
    error: str
    ended_at: str
    url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The home that a message is about: its folder, and its prefix where it is mounted in Dagster."""

    home: str
    mount: str = ""

    @property
    def name(self) -> str:
        """Return the name that titles begin with."""
        return f"extend_pipeline {self.mount or self.home.rstrip('/').rpartition('/')[2]}".rstrip()


def waiting_marks(waiting: Sequence[Waiting]) -> dict[str, bool]:
    """Return the marks of all that waits, each with whether it is urgent."""
    marks: dict[str, bool] = {}
    for thing in waiting:
        for mark in thing.marks:
            marks[mark] = thing.is_urgent or marks.get(mark, False)
    return marks


def build_message(
    message_id: str,
    decision: Decision,
    sender: Sender,
    waiting: Sequence[Waiting],
    failed_runs: Sequence[FailedRun] = (),
    *,
    now_s: int,
    is_whole: bool = True,
    has_lost: bool = False,
) -> Message:
    """Return the message of a decision that has a kind. Lists are cut until it fits into MAX_BYTES, and what UTF-8
    can't carry is replaced. The title says so where not all that waits is known (`is_whole`), and where an earlier
    message was given up (`has_lost`)."""
    assert decision.kind is not None
    listed = [thing for thing in waiting if thing.marks & decision.listed]
    # what is new comes first, and of that what is urgent
    listed.sort(key=lambda thing: (not thing.marks & decision.new, not thing.is_urgent))
    title = _title(decision.kind, sender, waiting, listed, failed_runs)
    title += "" if is_whole else "; what else waits is not known"
    title = _cut(f"{title}; an earlier alert could not be delivered" if has_lost else title)
    head = {
        "version": VERSION,
        "id": message_id,
        "kind": decision.kind.value,
        "title": title,
        "text": _text(title, listed, failed_runs),
        "at": timestamp(now_s),
        "home": _cut(sender.home),
        "mount": _cut(sender.mount),
        "waits": len(waiting),
        "urgent": sum(thing.is_urgent for thing in waiting),
    }
    items = [_item(thing, is_new=bool(thing.marks & decision.new)) for thing in listed[:MAX_ITEMS]]
    runs = [_run(run) for run in failed_runs[:MAX_ITEMS]]
    while True:
        message = {
            **head,
            "waiting": items,
            "more_waiting": len(listed) - len(items),
            "failed_runs": runs,
            "more_failed_runs": len(failed_runs) - len(runs),
        }
        body = encoded(message)
        if len(body) <= MAX_BYTES or not (items or runs):
            clean: Message = json.loads(body)
            return clean
        items, runs = items[: len(items) * 3 // 4], runs[: len(runs) * 3 // 4]


def timestamp(seconds: float) -> str:
    """Return a moment (UTC s) as messages have it: 2026-11-28T16:00:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def encoded(message: Message) -> bytes:
    """Return the bytes that are sent, the same each time."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _title(
    kind: Kind, sender: Sender, waiting: Sequence[Waiting], listed: Sequence[Waiting], failed: Sequence[FailedRun]
) -> str:
    if kind is Kind.TEST:
        return f"{sender.name}: this is a test alert; nothing has happened"
    parts = []
    if kind is Kind.ALL_CLEAR:
        parts.append("all clear: nothing that was reported waits for a person any more")
    elif listed:
        urgent = sum(thing.is_urgent for thing in listed)
        still = "still " if kind is Kind.REMINDER else ""
        waits = "waits" if len(listed) == 1 else "wait"
        parts.append(
            f"{counted(len(listed), 'thing')}{f' ({urgent} urgent)' if urgent else ''} {still}{waits} for a person"
            + (f", beside {len(waiting) - len(listed)} reported before" if len(waiting) > len(listed) else "")
        )
    if failed:
        parts.append(f"{counted(len(failed), 'run')} failed")
    return f"{sender.name}: {'; '.join(parts)}"


def _text(title: str, listed: Sequence[Waiting], failed: Sequence[FailedRun]) -> str:
    lines = [f"{'URGENT: ' if thing.is_urgent else ''}{thing.sentence}" for thing in listed]
    lines += [f"run {run.run_id} of {run.job} failed: {run.error}{f' {run.url}' if run.url else ''}" for run in failed]
    shown = [shortened(line, MAX_LINE) for line in first_lines(lines, MAX_LINES)]
    return "\n".join([title, *shown]).translate(_INERT)


def _item(thing: Waiting, *, is_new: bool) -> dict[str, Any]:
    return {
        "kind": thing.kind,
        "urgent": thing.is_urgent,
        "new": is_new,
        "videos": list(thing.videos[:MAX_NAMES]),
        "more_videos": max(len(thing.videos) - MAX_NAMES, 0),
        "hop": thing.hop,
        "account": thing.account or None,
        "happened": _cut(thing.message),
        "charge": thing.charge or None,
        "words": _cut(thing.words) or None,
        "helps": _cut(thing.todo),
    }


def _run(run: FailedRun) -> dict[str, Any]:
    url = run.url if run.url is None or len(run.url) <= MAX_URL else None  # the beginning of a link leads nowhere
    return {**asdict(run), "job": shortened(run.job, MAX_LINE), "error": shortened(run.error, MAX_LINE), "url": url}


def _cut(text: str) -> str:
    return shortened(text, MAX_CELL)
