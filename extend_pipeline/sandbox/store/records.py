"""The rows that the sandbox keeps: videos, tasks and charge lines, and what a task's state is at a given time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["submitted", "processing", "succeed", "failed"]


@dataclass(frozen=True)
class Video:
    """A film, whether seeded or made; `created_ms` of a made one is when its task ends, and before that it is not.

    `duration_ms` counts from the beginning of the source, also where the file is only a `segment`.
    Field order is the table's column order.
    """

    video_id: str
    account: str
    surface: str
    model: str
    mode: str
    duration_ms: int
    created_ms: int
    parent_id: str | None
    root_id: str
    hop: int
    media_key: str
    url_version: int
    segment: bool = False


@dataclass(frozen=True)
class Task:
    """An accepted extension. All that will happen to it is known at once; its state follows from the time.

    `video_id` is the result's, None if the task fails; `failure` then holds the reason.
    `details` is what only its surface knows. Field order is the table's.
    """

    seq: int
    task_id: str
    account: str
    surface: str
    external_task_id: str | None
    parent_video_id: str
    video_id: str | None
    watermark: bool | None
    callback_url: str | None
    created_ms: int
    processing_ms: int
    done_ms: int
    failure: str | None
    units_milli: int
    refunded: bool
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Charge:
    """One line of the charge book. `refunded_ms` None means that the money stays spent.

    `fingerprint` is the same for two tasks that extend the same parent with the same parameters.
    """

    task_id: str
    external_task_id: str | None
    account: str
    video_id: str
    fingerprint: str
    units_milli: int
    at_ms: int
    refunded_ms: int | None


@dataclass(frozen=True)
class Bill:
    """One line of an account's bill: a charge that was not refunded, and what the account had spent with it."""

    row: int
    task_id: str
    units_milli: int
    spent_milli: int
    at_ms: int


def status_at(task: Task, now_ms: int) -> tuple[Status, int]:
    """Return the task's state at a time, and since when (ms)."""
    if now_ms >= task.done_ms:
        return ("failed" if task.failure is not None else "succeed"), task.done_ms
    if now_ms >= task.processing_ms:
        return "processing", task.processing_ms
    return "submitted", task.created_ms


def units_text(milli: int) -> str:
    """Return thousandths of a unit as upstream writes units: "2", "3.5"."""
    return f"{milli / 1000:.3f}".rstrip("0").rstrip(".")


def seconds_text(ms: int) -> str:
    """Return milliseconds as upstream writes durations: "9.6", "10"."""
    return f"{ms / 1000:.3f}".rstrip("0").rstrip(".")
