"""Making a Kling task: all checks against the state, then task, result, charge and callbacks at once."""

from __future__ import annotations

import hashlib
import json
from functools import partial

from extend_pipeline.sandbox import draws
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.fault_book import Ids
from extend_pipeline.sandbox.kling import bodies, checks
from extend_pipeline.sandbox.kling.errors import Refusal
from extend_pipeline.sandbox.records import Charge, Task, Video

NAME = "kling"


class TaskMaker:
    """Turns good requests into tasks, and tells their callback URLs about them."""

    def __init__(self, core: Core) -> None:
        """Work on that sandbox."""
        self._core = core

    def make(self, account: str, submit: checks.Submit) -> Task | Refusal:
        """Check everything that depends on state; write task, result and charge line in one commit."""
        store, now_ms = self._core.store, self._core.clock.now_ms()
        source = self._source(account, submit.video_id, now_ms)
        key = submit.external_task_id
        earlier = None if key is None else store.task_with_external_id(NAME, account, key)
        refusal = checks.refuse_duplicate(submit, earlier) or checks.refuse_source(submit, source, now_ms)
        if refusal is not None or source is None:
            return refusal or Refusal(1203)
        return self._extend(account, submit, source, now_ms)

    def _extend(self, account: str, submit: checks.Submit, source: Video, now_ms: int) -> Task | Refusal:
        core, store = self._core, self._core.store
        seq = store.next_seq()
        task_id = draws.draw_id(core.config.seed, "task", seq)
        processing_ms, done_ms = core.times(task_id, now_ms)
        video_id = draws.draw_id(core.config.seed, "video", seq)
        result = core.extended(source, task_id=task_id, video_id=video_id, done_ms=done_ms)
        price_milli = int((core.config.price_pro if source.mode == "pro" else core.config.price_std) * 1000)
        state = self._account_state(account, now_ms)
        refusal = checks.refuse_length(source, result) or checks.refuse_account(state, price_milli)
        if refusal is not None:
            return refusal
        ids = request_ids(submit.external_task_id, submit.video_id)
        # The fault that makes a task fail is used up in the commit that writes the task.
        with store.transaction():
            failing = core.faults.take("submit", "make", ids) is not None
            task = Task(
                seq=seq,
                task_id=task_id,
                account=account,
                surface=NAME,
                external_task_id=submit.external_task_id,
                parent_video_id=source.video_id,
                video_id=None if failing else video_id,
                watermark=submit.watermark,
                callback_url=submit.callback_url,
                created_ms=now_ms,
                processing_ms=processing_ms,
                done_ms=done_ms,
                failure="risk control" if failing else None,
                units_milli=price_milli,
                refunded=failing and core.config.refund_failed,
            )
            store.add_task(task, None if failing else result, _charge(task, submit))
        self._schedule_callbacks(task, after_ms=now_ms - 1)
        return task

    def _source(self, account: str, video_id: str, now_ms: int) -> Video | None:
        video = self._core.store.video(video_id)
        if video is None or video.account != account or video.surface != NAME:
            return None
        # A seed may be dated anyhow; a result is there only once its task has ended.
        return None if video.parent_id is not None and video.created_ms > now_ms else video

    def _account_state(self, account: str, now_ms: int) -> checks.AccountState:
        config, store = self._core.config, self._core.store
        left = None
        if config.balance is not None:
            left = int(config.balance * 1000) - store.spent_milli(account, now_ms)
        return checks.AccountState(store.in_flight(NAME, account, now_ms), config.slots, left)

    def resume_callbacks(self) -> None:
        """Take up the callbacks that a former server still owed."""
        now_ms = self._core.clock.now_ms()
        for task in self._core.store.all_tasks():
            if task.surface == NAME and task.done_ms > now_ms:
                self._schedule_callbacks(task, after_ms=now_ms)

    def _schedule_callbacks(self, task: Task, *, after_ms: int) -> None:
        """One for each state that is reached after `after_ms`; states passed through in no time are left out."""
        if task.callback_url is None:
            return
        core = self._core
        videos = core.store.videos([task.parent_video_id, task.video_id])
        times = {task.created_ms, task.processing_ms, task.done_ms}
        for at_ms in sorted(time for time in times if time > after_ms):
            make_body = partial(bodies.called_back, task, videos, at_ms, partial(core.media_url, ""))
            core.callbacks.schedule(at_ms, task.callback_url, make_body)


def request_ids(external_task_id: str | None, *video_ids: str | None) -> dict[str, tuple[str, ...]]:
    """What a fault can be matched with before there is a task."""
    return {
        "external_task_id": () if external_task_id is None else (external_task_id,),
        "video_id": tuple(video_id for video_id in video_ids if video_id is not None),
    }


def task_ids(task: Task) -> Ids:
    """What a fault can be matched with once there is a task: `video_id` is its parent or its result."""
    known = request_ids(task.external_task_id, task.parent_video_id, task.video_id)
    return {**known, "task_id": (task.task_id,)}


def _charge(task: Task, submit: checks.Submit) -> Charge:
    what = json.dumps([submit.prompt, submit.negative_prompt, submit.cfg_scale, submit.watermark])
    return Charge(
        task_id=task.task_id,
        external_task_id=task.external_task_id,
        account=task.account,
        video_id=task.parent_video_id,
        fingerprint=hashlib.sha256(what.encode()).hexdigest()[:16],
        units_milli=task.units_milli,
        at_ms=task.created_ms,
        refunded_ms=task.done_ms if task.refunded else None,
    )
