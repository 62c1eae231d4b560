"""The result of the last look at an attempt: a cause and numbers for decisions, a note for people."""

from dataclasses import dataclass
from enum import StrEnum


class LookCause(StrEnum):
    """Why a look ended as it did, if a later decision depends on it. Stored in `schedule.cause`."""

    NO_ROOM = "no_room"  # our own disk did not take the fetched file
    FETCH_REFUSED = "fetch_refused"  # by our own rules: no further fetch differs until an operator changes them
    SAID_GONE = "said_gone"  # the result's host or its provider reports that it is gone
    INVALID_FILE = "unsound"  # a whole file came and is no valid video
    NO_CONTROL = "no_control"  # no task was found, and no known task proves that the look-up works
    FOREIGN_TASK = "foreign_task"  # our key is on a task of another video: no further look-up differs
    NOT_FOUND = "not_found"  # counts as an absence: several of them end the doubt
    NOT_THERE = "not_there"  # the account does not know a task that a callback named


@dataclass(frozen=True, slots=True)
class LastLook:
    """The result of the last look. `tries` counts looks in a row without a result. `refusals` and `refused_since` (UTC
    ms) are how often in a row, and since when, a result was reported gone; `sha256` names an invalid file. `note` is
    text for people: no decision reads it."""

    note: str = ""
    cause: LookCause | None = None
    tries: int = 0
    refusals: int = 0
    refused_since: int | None = None
    sha256: str | None = None
