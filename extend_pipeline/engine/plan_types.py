"""What a plan is made from and what it says. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from extend_pipeline.config.accounts import Account
from extend_pipeline.config.catalogue import Video
from extend_pipeline.ledger.states import AttemptState, VideoState


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """What a plan needs to know of one attempt. Durations in ms, times in UTC ms, units in micro-units."""

    attempt_id: str
    video_key: str
    hop: int
    generation: int
    try_no: int
    chain_digest: str
    state: AttemptState
    submit_class: str
    error_reason: str | None
    error_message: str | None
    resubmit_allowed: bool
    root_video_id: str | None
    video_id: str | None
    output_ms: int | None
    completed_at: int | None
    submitted_at: int | None
    in_doubt_at: int | None
    expires_at: int | None
    absences: int
    predicted_micros: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class AccountView:
    """What the ledger knows of an account's spending."""

    paused: bool = False
    stopped_reason: str | None = None
    stopped_message: str | None = None
    committed_micros: int = 0
    committed_today_micros: int = 0
    in_flight: int = 0
    backing_off_until: int | None = None
    probing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInput:
    """Everything that a plan looks at. `attempts` holds those of the planned videos and of the videos they branch
    from."""

    now_ms: int
    videos: Sequence[Video]
    catalogue: Mapping[str, Video]
    accounts: Mapping[str, Account]
    attempts: Mapping[str, Sequence[AttemptView]]
    account_views: Mapping[str, AccountView]
    everything_paused: bool = False


class Obstacle(StrEnum):
    """Why a video doesn't go on now."""

    # these end by themselves
    PARENT = "waiting_for_parent"
    SLOTS = "no_free_slot"
    DAY_BUDGET = "day_budget"
    BACKOFF = "backing_off"
    EARLIER_TAKE = "earlier_take_running"
    IN_DOUBT_CHECKING = "in_doubt_checking"
    # these wait for a person
    PAUSED = "paused"
    ACCOUNT_STOPPED = "account_stopped"
    TOTAL_BUDGET = "total_budget"
    NO_BUDGET = "no_budget"
    NO_PRICE = "no_price"
    SOURCE_EXPIRED = "source_expired"
    SOURCE_MODEL = "source_model"
    LENGTH_CAP = "length_cap"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    OVERDUE = "overdue"
    NOT_FETCHED = "not_fetched"
    RESULT_LOST = "result_lost"
    QUARANTINED = "quarantined"
    WRITTEN_OFF = "written_off"
    NOT_EXTENDABLE = "not_extendable"
    PARENT_BLOCKED = "parent_blocked"

    @property
    def needs_person(self) -> bool:
        """Whether nothing happens until somebody acts."""
        return self not in _PASSING


_PASSING = frozenset(
    {
        Obstacle.PARENT,
        Obstacle.SLOTS,
        Obstacle.DAY_BUDGET,
        Obstacle.BACKOFF,
        Obstacle.EARLIER_TAKE,
        Obstacle.IN_DOUBT_CHECKING,
    }
)


@dataclass(frozen=True, slots=True)
class Hindrance:
    """An obstacle with what happened and what to do about it, for a person. `until_ms`: when it ends by itself, if
    known."""

    obstacle: Obstacle
    message: str
    todo: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueStep:
    """One extension that may be submitted now."""

    video: Video
    hop: int
    generation: int
    try_no: int
    chain_digest: str
    root_video_id: str | None
    parent_attempt_id: str | None
    parent_video_id: str
    parent_duration_ms: int
    params: Mapping[str, object]
    mode: str
    predicted_micros: int
    last_attempt_id: str | None
    paid_again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlan:
    """What a plan says of one video. `hops_left` and `micros_left` are (least, most): the provider chooses how much
    each hop adds, so they are known exactly only at the end."""

    key: str
    account: str
    provider: str
    state: VideoState
    hops_done: int
    current_ms: int | None
    target_ms: int | None
    target_steps: int | None
    hops_left: tuple[int, int]
    micros_left: tuple[int, int] | None
    due: DueStep | None = None
    running: AttemptView | None = None
    hindrance: Hindrance | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due, what it will cost and what can't be done, in catalogue order."""

    now_ms: int
    videos: tuple[VideoPlan, ...]

    @property
    def due(self) -> tuple[DueStep, ...]:
        """Steps that may be submitted now."""
        return tuple(video.due for video in self.videos if video.due is not None)

    @property
    def needs_person(self) -> tuple[VideoPlan, ...]:
        """Videos that wait for somebody."""
        return tuple(v for v in self.videos if v.hindrance is not None and v.hindrance.obstacle.needs_person)

    @property
    def unfinished(self) -> tuple[VideoPlan, ...]:
        """Videos that are neither complete nor waiting for somebody: they go on by themselves."""
        return tuple(v for v in self.videos if v.state in (VideoState.WORKING, VideoState.WAITING))
