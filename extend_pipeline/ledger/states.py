"""The states of an attempt and the moves between them; the picture in `docs/architecture.md` is this table."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class AttemptState(StrEnum):
    """Where one paid submit stands."""

    CLAIMED = "claimed"  # units reserved, provably unsent
    SENDING = "sending"  # the POST may be on its way
    IN_DOUBT = "in_doubt"  # a task may or may not exist
    SUBMITTED = "submitted"  # the upstream named a task
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"  # paid; the file is still upstream
    STORED = "stored"  # the file is ours, checked and fsynced
    FAILED = "failed"
    REJECTED = "rejected"  # provably nothing was made
    RELEASED = "released"  # provably unsent, or proved absent
    RESULT_LOST = "result_lost"  # paid, and the file can't be had any more
    QUARANTINED = "quarantined"  # paid, and what was sent is no sound video
    WRITTEN_OFF = "written_off"  # a person closed it and booked the charge


S = AttemptState

LIVE: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING, S.SUCCEEDED})
"""At most one attempt of an extension is in one of these, by a unique index."""

SLOT_HOLDING: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING})
"""What counts against an account's `max_in_flight`: everything that may be running upstream."""

EXPOSED: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT})
"""Of which nobody could say for sure, if every process ended now, whether a task exists."""

POLLED: Final = frozenset({S.SUBMITTED, S.PROCESSING})

MOVES: Final[dict[AttemptState, frozenset[AttemptState]]] = {
    S.CLAIMED: frozenset({S.SENDING, S.RELEASED}),
    S.SENDING: frozenset({S.SUBMITTED, S.REJECTED, S.IN_DOUBT}),
    S.IN_DOUBT: frozenset({S.SUBMITTED, S.RELEASED, S.WRITTEN_OFF}),
    S.SUBMITTED: frozenset({S.PROCESSING, S.SUCCEEDED, S.FAILED, S.WRITTEN_OFF}),
    S.PROCESSING: frozenset({S.SUCCEEDED, S.FAILED, S.WRITTEN_OFF}),
    S.SUCCEEDED: frozenset({S.STORED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF}),
    S.STORED: frozenset(),
    S.FAILED: frozenset(),
    S.REJECTED: frozenset(),
    S.RELEASED: frozenset(),
    S.RESULT_LOST: frozenset({S.STORED}),
    S.QUARANTINED: frozenset({S.STORED}),
    S.WRITTEN_OFF: frozenset(),
}
"""Moves out of SUBMITTED and PROCESSING to WRITTEN_OFF are a person's only: a task that the upstream forgot. Those from
RESULT_LOST and QUARANTINED are of a fetch that was slower than the one that gave up: a file that is ours isn't lost."""


class VideoState(StrEnum):
    """Where a video stands, as the last plan saw it."""

    NEW = "new"  # declared, not planned yet
    WORKING = "working"  # something is claimed, in flight or being fetched, or due now
    WAITING = "waiting"  # held by a budget, a slot, a parent or a back-off; goes on by itself
    BLOCKED = "blocked"  # a person must do something; the reason says what
    COMPLETE = "complete"
    WITHDRAWN = "withdrawn"  # no longer in the catalogue; nothing more is submitted, what is paid is still fetched
