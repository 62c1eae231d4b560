"""The making of a task, once its surface has agreed: task, result and charge line in one commit, then its callbacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import TypeVar

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.faults.callback_faults import Habits, notices
from extend_pipeline.sandbox.store.records import Charge, Task, Video
from extend_pipeline.sandbox.surface.account_terms import Terms
from extend_pipeline.sandbox.surface.callbacks import BodyMaker

BodyAt = Callable[[int], BodyMaker]
"""From the time (ms) of a task's change to the maker of the notice of it."""

RefusalT = TypeVar("RefusalT")


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


def refuse_account(
    core: Core, terms: Terms, account: str, now_ms: int, price_milli: int, *, no_money: RefusalT, no_slots: RefusalT
) -> RefusalT | None:
    """Return how an account is refused one more task at that price: for its money first, then for its slots."""
    if terms.balance is not None:
        left_milli = int(terms.balance * 1000) - core.store.spent_milli(account, now_ms)
        if left_milli < price_milli:
            return no_money
    return no_slots if core.store.in_flight(terms.surface, account, now_ms) >= terms.slots else None


def make_task(core: Core, terms: Terms, order: Order) -> Task:
    """Write it all. Faults that decide what becomes of a task are used up in the commit that writes the task."""
    result = order.result
    parent_id = str(result.parent_id)
    ids = request_ids(terms.surface, order.external_task_id, parent_id)
    with core.store.transaction():
        fault = core.faults.take("submit", "make", ids)
        expired = fault is not None and fault.kind == "expire_task"
        failing = fault is not None
        odd = core.faults.take("submit", "price", ids)
        details = {**order.details, **({"expired": True} if expired else {}), **_habits(core, order, ids).as_details()}
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
            units_milli=order.price_milli if odd is None else int(Decimal(odd.units) * 1000),
            refunded=failing and terms.refund_failed,
            details=details,
        )
        core.store.add_task(task, None if failing else result, _charge(task, order.params))
    return task


def schedule_callbacks(core: Core, task: Task, *, after_ms: int, body_at: BodyAt) -> None:
    """One for each state that is reached after `after_ms`, or as faults have it; states passed through in no time are
    left out."""
    if task.callback_url is None:
        return
    habits = Habits.from_details(task.details)
    changes_ms = sorted({task.created_ms, task.processing_ms, task.done_ms})
    if habits.drop:
        core.callbacks.withhold(sum(at_ms > after_ms for at_ms in changes_ms))
    for notice in notices(changes_ms, habits):
        if notice.at_ms > after_ms:
            # a callback that is sent twice has the same body, also where an address in them is signed anew each second
            bodies = {of_ms: cache(body_at(of_ms)) for of_ms in set(notice.changes_ms)}
            core.callbacks.schedule(notice.at_ms, task.callback_url, [bodies[of_ms] for of_ms in notice.changes_ms])


def resume_callbacks(core: Core, surface: str, bodies_of: Callable[[Task], BodyAt]) -> None:
    """Take up the callbacks that a former server still owed for a surface's tasks."""
    now_ms = core.clock.now_ms()
    for task in core.store.all_tasks():
        late_ms = round(Habits.from_details(task.details).late_s * 1000)
        if task.surface == surface and task.callback_url is not None and task.done_ms + late_ms > now_ms:
            schedule_callbacks(core, task, after_ms=now_ms, body_at=bodies_of(task))


def request_ids(surface: str, external_task_id: str | None, *video_ids: str | None) -> dict[str, tuple[str, ...]]:
    """Return what a fault can be matched with before there is a task."""
    return {
        "provider": (surface,),
        "external_task_id": () if external_task_id is None else (external_task_id,),
        "video_id": tuple(video_id for video_id in video_ids if video_id is not None),
    }


def task_ids(task: Task) -> Ids:
    """Return what a fault can be matched with once there is a task: `video_id` is its parent or its result."""
    known = request_ids(task.surface, task.external_task_id, task.parent_video_id, task.video_id)
    return {**known, "task_id": (task.task_id,)}


def _habits(core: Core, order: Order, ids: Ids) -> Habits:
    if order.callback_url is None:
        return Habits()
    met = {fault.kind: fault.hold for fault in core.faults.take_all("callback", "tell", ids)}
    return Habits(
        double="callback_double" in met,
        drop="callback_drop" in met,
        reorder="callback_reorder" in met,
        late_s=met.get("callback_late", 0.0),
    )


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
