"""Rows of the smaller tables as values. The fields are the tables' columns, in their order. Times in UTC ms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict


class VideoRow(NamedTuple):
    """One video that is or was in the catalogue. Durations in ms."""

    video_key: str
    account: str
    provider: str
    definition_digest: str
    source_video_id: str | None
    branch_of: str | None
    branch_hop: int | None
    model: str | None
    mode: str | None
    source_created_at: int | None
    extendable_until: int | None
    source_duration_ms: int | None
    source_sha256: str | None
    source_path: str | None
    source_probed_ms: int | None
    source_fault: str | None
    source_fault_at: int | None
    earlier_source_sha256: str | None
    first_key: str | None
    target_ms: int | None
    target_steps: int | None
    state: VideoState
    state_reason: str
    state_detail: str
    hops_done: int
    current_duration_ms: int | None
    declared_at: int
    seq: int


class CompleteVideo(NamedTuple):
    """What a complete video came to: the part of its row that stands for its attempts. Durations in ms. `start_moved`
    says that the hops which a branch begins with were bought or decided about since it was complete."""

    video_key: str
    account: str
    provider: str
    definition_digest: str
    branch_of: str | None
    target_ms: int | None
    target_steps: int | None
    hops_done: int
    current_duration_ms: int | None
    start_moved: bool


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account's totals (micro-units), its pause and its stop."""

    account: str
    committed_micros: int
    in_flight: int
    paused: bool
    stopped_reason: str | None
    stopped_message: str | None
    stopped_at: int | None
    first_name: str | None
    refused_keys: str | None
    silent_submits: int
    seq: int


@dataclass(frozen=True, slots=True)
class BackoffRow:
    """Until when an account backs off after refused submits (UTC ms), and how many there were in a row."""

    account: str
    not_before: int
    failures: int
    note: str


@dataclass(frozen=True, slots=True)
class ContactRow:
    """When an account's provider last replied (UTC ms), how many queries in a row it has left without a reply, and when
    it may be asked again (UTC ms)."""

    account: str
    replied_at: int | None
    silences: int
    ask_at: int


@dataclass(frozen=True, slots=True)
class ReconciliationRow:
    """The comparison of one task between the ledger and a statement, in micro-units."""

    account: str
    source: str
    task_id: str
    verdict: ReconciliationVerdict
    attempt_id: str | None
    unit: str
    ledger_micros: int | None
    upstream_micros: int | None
    note: str
    at: int
    seq: int


_VIDEO_STATE: Final = VideoRow._fields.index("state")
_VIDEO_STATES: Final = {state.value: state for state in VideoState}


def video_row(columns: Sequence[Any]) -> VideoRow:
    """Return a video from the values of the table's columns."""
    state = _VIDEO_STATES[columns[_VIDEO_STATE]]
    return VideoRow._make((*columns[:_VIDEO_STATE], state, *columns[_VIDEO_STATE + 1 :]))


def reconciliation_row(columns: Sequence[Any]) -> ReconciliationRow:
    """Return a compared task from the values of the table's columns."""
    account, source, task_id, verdict, *others = columns
    return ReconciliationRow(account, source, task_id, ReconciliationVerdict(verdict), *others)
