"""What the last look at an attempt left for the next one: a cause and its numbers for decisions, a note for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LookCause(StrEnum):
    """Why a look ended as it did, where a later decision depends on it. Stored in `schedule.cause`."""

    NO_ROOM = "no_room"  # our own disk did not take the fetched file
    FETCH_REFUSED = "fetch_refused"  # by our own rules: no further fetch differs until an operator changes them
    SAID_GONE = "said_gone"  # the result's host or its provider says that it is gone
    UNSOUND = "unsound"  # a whole file came and is no valid video
    NO_CONTROL = "no_control"  # nothing was found, and no known task proves that the look-up finds what is there
    FOREIGN_TASK = "foreign_task"  # our key is on a task of another video: no further look-up differs
    NOT_FOUND = "not_found"  # counts as an absence: so many of them end the doubt
    NOT_THERE = "not_there"  # the account does not know a task that a callback named


@dataclass(frozen=True, slots=True)
class LastLook:
    """The result of the last look. `tries` counts looks in a row that told nothing. `refusals` and `refused_since` (UTC
    ms) say how often in a row, and since when, a result was said to be gone; `sha256` names an unsound file. `note` is
    text for people: no decision reads it."""

    note: str = ""
    cause: LookCause | None = None
    tries: int = 0
    refusals: int = 0
    refused_since: int | None = None
    sha256: str | None = None
