"""What a plan is made from and what it says. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.config.model.changes import OnChange
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.plan.chain import Names
from extend_pipeline.ledger.look import LookCause
from extend_pipeline.ledger.spending_rules import AccountTotals, BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline.ledger.write.names import Choice


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
    file_ms: int | None = None
    film_path: str | None = None
    film_gone: bool = False
    task_id: str | None = None
    kind: str | None = None
    note: str = ""
    cause: LookCause | None = None
    called_back: bool = False
    account: str = ""
    parent_attempt_id: str | None = None
    claimed_at: int = 0
    params: str = "{}"
    words: str | None = None
    purchase: str | None = None


@dataclass(frozen=True, slots=True)
class SourceView:
    """What the ledger knows of a root source's file: how long it is, where it lies, or why it could not be fetched, and
    whether it is, byte for byte, the file that another address named before."""

    probed_ms: int | None = None
    path: str | None = None
    fault: str | None = None
    same_file_as_before: bool = False


@dataclass(frozen=True, slots=True)
class Purchase:
    """What the next hop of a video would buy."""

    hop: int
    digest: str


@dataclass(frozen=True, slots=True)
class Twin:
    """A purchase that is the same as a due one: who made it, or is about to (`bought` is False)."""

    video_key: str
    hop: int
    account: str
    bought: bool


@dataclass(frozen=True, slots=True)
class Parent:
    """What the next hop starts from: a source, or a stored result.

    `duration_ms` is the length of the film so far; `file_ms` that of the file that `video_id` names, which is shorter
    where the provider returned only the new part. `path` is the film's, relative to the media store.
    """

    attempt_id: str | None
    video_id: str | None
    root_video_id: str | None
    duration_ms: int | None
    born_ms: int | None
    digest: str
    file_ms: int | None = None
    expires_ms: int | None = None
    path: str | None = None
    task_id: str | None = None
    kind: str | None = None
    film_gone: bool = False
    """The file at `path` is missing in the media store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInput:
    """Everything that a plan looks at. `attempts` holds those of the planned videos and of the videos they branch
    from."""

    now_ms: int
    videos: Sequence[Video]
    catalogue: Mapping[str, Video]
    accounts: Mapping[str, Account]
    attempts: Mapping[str, Sequence[AttemptView]]
    account_totals: Mapping[str, AccountTotals]
    ledger: Blocker | None = None
    sources: Mapping[str, SourceView] = field(default_factory=dict)
    held: Mapping[str, Blocker] = field(default_factory=dict)
    """What keeps this process from submitting for an account, by account; nothing of the ledger's."""
    names: Names = field(default_factory=Names)
    on_change: OnChange = "ask"
    twins: Mapping[str, Twin] = field(default_factory=dict)
    """By video: who has bought, or is about to buy, what its next hop asks for."""
    ahead: Mapping[str, Any] = field(default_factory=dict)
    """By video: how far it leads, where that was found out already (`plan.look_ahead`)."""
    disk: DiskSpace | None = None


@dataclass(frozen=True, slots=True)
class Blocker:
    """An obstacle with what happened and what to do about it, for a person. `until_ms`: when it ends by itself, if
    known."""

    reason: BlockReason
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
    parent_task_id: str | None
    parent_duration_ms: int | None
    params: Mapping[str, object]
    mode: str | None
    predicted_micros: int
    last_attempt_id: str | None
    tries_seen: int
    paid_again: bool
    named_as: str
    purchase: str
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of a chain that is paid for, from `hop` on: the words that were paid for and those that stand there now,
    and what each way on costs. Hops and micro-units are (least, most); `keep` and `pay` are what is written down."""

    hop: int
    paid_for: Mapping[str, object]
    now: Mapping[str, object]
    kept_hops: int
    keep: tuple[Choice, ...]
    keep_hops: tuple[int, int]
    keep_micros: tuple[int, int] | None
    pay: tuple[Choice, ...]
    pay_hops: tuple[int, int]
    pay_micros: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoPlan:
    """What a plan says of one video. `hops_left` and `micros_left` are (least, most): the provider chooses how much
    each hop adds, so they are known exactly only at the end. `end_ms` is how long the video is then, (least, most),
    None where its start is not known; `may_fall_short` is True where a limit may end it below its target.
    `extendable_until_ms` is when what the next hop starts from can't be extended any more (UTC ms), where the provider
    has such a limit and the hop is not under way. `choices` are the paid steps that stand for edited ones, to be
    written down."""

    key: str
    account: str
    provider: str
    state: VideoState
    hops_done: int
    current_ms: int | None
    target_ms: int | None
    target_steps: int | None
    is_branch: bool
    hops_left: tuple[int, int]
    end_ms: tuple[int, int] | None = None
    may_fall_short: bool = False
    micros_left: tuple[int, int] | None
    due: DueStep | None = None
    running: AttemptView | None = None
    blocker: Blocker | None = None
    extendable_until_ms: int | None = None
    edit: Edit | None = None
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due, what it will cost and what can't be done, in catalogue order. `ledger` says what is wrong with the
    ledger as a whole, where something is; then nothing is due."""

    now_ms: int
    videos: tuple[VideoPlan, ...]
    ledger: Blocker | None = None

    @property
    def due(self) -> tuple[DueStep, ...]:
        """Return steps that may be submitted now."""
        return tuple(video.due for video in self.videos if video.due is not None)

    @property
    def needs_person(self) -> tuple[VideoPlan, ...]:
        """Return videos that wait for somebody."""
        return tuple(v for v in self.videos if v.blocker is not None and v.blocker.reason.needs_person)

    @property
    def unfinished(self) -> tuple[VideoPlan, ...]:
        """Return videos that are neither complete nor waiting for somebody: they go on by themselves."""
        return tuple(v for v in self.videos if v.state in (VideoState.WORKING, VideoState.WAITING))
