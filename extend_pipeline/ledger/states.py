"""The states of an attempt and the moves between them. The diagram in `docs/architecture.md` shows this table."""

from enum import StrEnum
from typing import Final


class AttemptState(StrEnum):
    """The state of one paid submit."""

    CLAIMED = "claimed"  # units reserved, provably unsent
    SENDING = "sending"  # the POST may be on its way
    IN_DOUBT = "in_doubt"  # a task may or may not exist
    SUBMITTED = "submitted"  # the provider named a task
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"  # paid; only the provider has the file
    STORED = "stored"  # the file is in our store, checked and fsynced
    FAILED = "failed"
    REJECTED = "rejected"  # provably nothing was made
    RELEASED = "released"  # provably unsent, or proved absent
    RESULT_LOST = "result_lost"  # paid, and the file can't be fetched any more
    QUARANTINED = "quarantined"  # paid, and the file that came is no valid video
    WRITTEN_OFF = "written_off"  # an operator closed it and booked the charge


S = AttemptState

LIVE: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING, S.SUCCEEDED})
"""States that at most one attempt of an extension is in, by a unique index."""

SLOT_HOLDING: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING})
"""States that count against an account's `max_in_flight`: the provider may be working on the task."""

EXPOSED: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT})
"""States in which a crash of every process would leave it unknown whether a task exists."""

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
"""Only an operator moves an attempt from SUBMITTED or PROCESSING to WRITTEN_OFF: the provider has forgotten the task. A
move from RESULT_LOST or QUARANTINED to STORED is made by a fetch that ended after another worker gave the file up: a
file in our store is not lost."""


class VideoState(StrEnum):
    """The state of a video, as the last plan saw it."""

    NEW = "new"  # declared, not planned yet
    WORKING = "working"  # an attempt is claimed, in flight or being fetched, or a step is due now
    WAITING = "waiting"  # for a budget, a slot, a parent or a back-off; continues without an operator
    BLOCKED = "blocked"  # an operator must act; the reason tells how
    COMPLETE = "complete"
    WITHDRAWN = "withdrawn"  # no longer in the catalogue; nothing more is submitted, paid results are still fetched


FINISHED: Final = frozenset({VideoState.COMPLETE, VideoState.WITHDRAWN})
"""States of a video for which nothing is bought. It is no longer walked hop by hop: its row says what it came to."""

UNFINISHED: Final = frozenset(VideoState) - FINISHED

WITHDRAWN_WITH_MANY: Final = "withdrawn_with_many"
"""The reason of a withdrawn video that was unfinished and left the catalogue with so many others at once that it may be
a mistake, until it is back or an operator says that it was meant."""

ADOPTED: Final = "orphan"
"""The chain digest of a task that was adopted from a provider's statement: it belongs to no step of the catalogue."""
