"""The input and the result of a plan. Data only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import OnChange, Video
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.plan.chain import Names
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import AccountTotals, BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.renames_and_choices import Choice


@dataclass(frozen=True, slots=True)
class SourceView:
    """A root source's file in the ledger: its length (ms), its path in the media store, why it could not be fetched,
    and whether it is, byte for byte, the file that the catalogue named by another address before."""

    probed_ms: int | None = None
    path: str | None = None
    fault: str | None = None
    same_file_as_before: bool = False


@dataclass(frozen=True, slots=True)
class Purchase:
    """The purchase that the next hop of a video would make."""

    hop: int
    digest: str


@dataclass(frozen=True, slots=True)
class DuplicatePurchase:
    """A purchase that is the same as a due one: made by this hop and account, or about to be (`bought` is False)."""

    video_key: str
    hop: int
    account: str
    bought: bool


@dataclass(frozen=True, slots=True)
class Parent:
    """The source that the next hop extends: a root source or a stored result.

    `duration_ms` is the length of the film so far. `file_ms` is the length of the file that `video_id` names; it is
    shorter when the provider returned only the new part. `path` is the film's path in the media store. `born_ms` is
    when the source was made and `expires_ms` when its URL ends (UTC ms).
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
    """Everything that a plan depends on. `attempts` are those of the planned videos and of the videos they branch
    from, under the catalogue's names of their video and account. `looks` are the results of the last looks at attempts,
    and `without_film` the attempts whose film is missing in the media store; both by attempt ID."""

    now_ms: int
    videos: Sequence[Video]
    catalogue: Mapping[str, Video]
    accounts: Mapping[str, Account]
    attempts: Mapping[str, Sequence[AttemptRow]]
    account_totals: Mapping[str, AccountTotals]
    looks: Mapping[str, LastLook] = field(default_factory=dict)
    without_film: Collection[str] = ()
    ledger: Blocker | None = None
    sources: Mapping[str, SourceView] = field(default_factory=dict)
    process_blockers: Mapping[str, Blocker] = field(default_factory=dict)
    """Blockers of this process, by account; blockers that the ledger stores are not among them."""
    names: Names = field(default_factory=Names)
    on_change: OnChange = "ask"
    duplicates: Mapping[str, DuplicatePurchase] = field(default_factory=dict)
    """By video: the purchase that its next hop would duplicate."""
    misnamed: Mapping[str, str] = field(default_factory=dict)
    """By video whose `was` is no name in the ledger: a video that has left the catalogue, and has paid hops from the
    same source."""
    next_hops: Mapping[str, Any] = field(default_factory=dict)
    """By video: its next hop, where it is known already (`planner.next_hops`)."""
    disk: DiskSpace | None = None
    finished: Mapping[str, VideoPlan] = field(default_factory=dict)
    """The plans of complete videos, by key: they are not among `videos`, and nothing of them is walked."""
    order: Sequence[str] = ()
    """The keys of `videos` and `finished` together, in catalogue order; empty for that of `videos` alone."""
    complete: Mapping[str, int] = field(default_factory=dict)
    """How many complete videos are neither in `videos` nor in `finished`, by account."""
    running: Mapping[str, int] = field(default_factory=dict)
    """How many videos are left out because they wait for a task, by account."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """A block reason with texts for the operator: what happened, and what to do. `until_ms` is when it ends without
    the operator (UTC ms), if known."""

    reason: BlockReason
    message: str
    todo: str
    until_ms: int | None = None

    def describe(self) -> str:
        """Return what happened, and what to do, in a line."""
        return f"{self.message} → {self.todo}"


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
    """An edit of a paid chain from `hop` on: the parameters that were paid for, the current ones, and the cost of both
    decisions. Hops and micro-units are (least, most); `keep` and `pay` are the choices that each decision stores."""

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
    """The plan of one video.

    `hops_left`, `micros_left` and the final length `end_ms` are (least, most), because the provider chooses how much
    each hop adds; `end_ms` is None when the length of the source is unknown. `may_fall_short` is True when a limit may
    end the video below its target. `extendable_until_ms` is until when the parent of the next hop can be extended
    (UTC ms), if the provider has such a limit and the hop is not in flight. `choices` are the paid steps that are used
    instead of edited ones; they are to be stored.
    """

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
    running: AttemptRow | None = None
    blocker: Blocker | None = None
    extendable_until_ms: int | None = None
    edit: Edit | None = None
    choices: tuple[Choice, ...] = ()

    @property
    def needs_person(self) -> bool:
        """Return whether the video waits for the operator."""
        return self.blocker is not None and self.blocker.reason.needs_person


@dataclass(frozen=True, slots=True)
class Plan:
    """The plans of videos, in catalogue order. When the ledger as a whole is not accepted, `ledger` is the reason and
    nothing is due. `complete` counts the complete videos that were left out of a brief plan, by account, and `running`
    those that were left out because they wait for a task."""

    now_ms: int
    videos: tuple[VideoPlan, ...]
    ledger: Blocker | None = None
    complete: Mapping[str, int] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)

    @property
    def due(self) -> tuple[DueStep, ...]:
        """Return the steps that may be submitted now."""
        return tuple(video.due for video in self.videos if video.due is not None)

    @property
    def needs_person(self) -> tuple[VideoPlan, ...]:
        """Return the videos that wait for the operator."""
        return tuple(video for video in self.videos if video.needs_person)

    @property
    def unfinished(self) -> tuple[VideoPlan, ...]:
        """Return the videos that are neither complete nor waiting for the operator."""
        return tuple(v for v in self.videos if v.state in (VideoState.WORKING, VideoState.WAITING))
