"""The making of a task, once its surface has agreed: task, result and charge line in one commit, then its callbacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from extend_pipeline.sandbox.callbacks import BodyMaker
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.fault_book import Ids
from extend_pipeline.sandbox.records import Charge, Task, Video
from extend_pipeline.sandbox.terms import Terms


@dataclass(frozen=True, kw_only=True)
class Order:
    """An extension that passed all checks. `result` is what comes of it, dated when the task ends.

    `params` is all that decides what the film looks like: the same from the same parent is the same step.
    `failure` is what the task says should it fail.
    """

    seq: int
    task_id: str
    created_ms: int
    processing_ms: int
    result: Video
    price_milli: int
    params: object
    failure: str
    external_task_id: str | None = None
    watermark: bool | None = None
    callback_url: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Purse:
    """What an account has free: None units left means no limit."""

    in_flight: int
    slots: int
    units_left_milli: int | None


def purse(core: Core, terms: Terms, account: str, now_ms: int) -> Purse:
    """The slots and the money that an account has at a time."""
    left = None
    if terms.balance is not None:
        left = int(terms.balance * 1000) - core.store.spent_milli(account, now_ms)
    return Purse(core.store.in_flight(terms.surface, account, now_ms), terms.slots, left)


def make_task(core: Core, terms: Terms, order: Order) -> Task:
    """Write it all. The fault that makes a task fail is used up in the commit that writes the task."""
    result = order.result
    parent_id = str(result.parent_id)
    ids = request_ids(terms.surface, order.external_task_id, parent_id)
    with core.store.transaction():
        fault = core.faults.take("submit", "make", ids)
        expired = fault is not None and fault.kind == "expire_task"
        failing = fault is not None
        task = Task(
            seq=order.seq,
            task_id=order.task_id,
            account=result.account,
            surface=terms.surface,
            external_task_id=order.external_task_id,
            parent_video_id=parent_id,
            video_id=None if failing else result.video_id,
            watermark=order.watermark,
            callback_url=order.callback_url,
            created_ms=order.created_ms,
            processing_ms=order.processing_ms,
            done_ms=result.created_ms,
            failure=("task expired" if expired else order.failure) if failing else None,
            units_milli=order.price_milli,
            refunded=failing and terms.refund_failed,
            details={**order.details, "expired": True} if expired else order.details,
        )
        core.store.add_task(task, None if failing else result, _charge(task, order.params))
    return task


def schedule_callbacks(core: Core, task: Task, *, after_ms: int, body_at: Callable[[int], BodyMaker]) -> None:
    """One for each state that is reached after `after_ms`; states passed through in no time are left out."""
    if task.callback_url is None:
        return
    for at_ms in sorted({at for at in (task.created_ms, task.processing_ms, task.done_ms) if at > after_ms}):
        core.callbacks.schedule(at_ms, task.callback_url, body_at(at_ms))


def request_ids(surface: str, external_task_id: str | None, *video_ids: str | None) -> dict[str, tuple[str, ...]]:
    """What a fault can be matched with before there is a task."""
    return {
        "provider": (surface,),
        "external_task_id": () if external_task_id is None else (external_task_id,),
        "video_id": tuple(video_id for video_id in video_ids if video_id is not None),
    }


def task_ids(task: Task) -> Ids:
    """What a fault can be matched with once there is a task: `video_id` is its parent or its result."""
    known = request_ids(task.surface, task.external_task_id, task.parent_video_id, task.video_id)
    return {**known, "task_id": (task.task_id,)}


def bound_to(account: str, surface: str, result: Video) -> Video:
    """A result whose parent may be somebody else's, given to the account that pays for it."""
    return replace(result, account=account, surface=surface)


def _charge(task: Task, params: object) -> Charge:
    return Charge(
        task_id=task.task_id,
        external_task_id=task.external_task_id,
        account=task.account,
        video_id=task.parent_video_id,
        fingerprint=hashlib.sha256(json.dumps(params).encode()).hexdigest()[:16],
        units_milli=task.units_milli,
        at_ms=task.created_ms,
        refunded_ms=task.done_ms if task.refunded else None,
    )
