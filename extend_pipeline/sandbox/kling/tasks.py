"""Making a task as Kling does, for Kling itself and for its resellers: all checks against the state, then the task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults import seeded_random
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.kling import bodies, checks
from extend_pipeline.sandbox.kling.bodies import Link
from extend_pipeline.sandbox.store.foreign_tasks import ForeignTask
from extend_pipeline.sandbox.store.records import Task, Video
from extend_pipeline.sandbox.surface.account_terms import Terms
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json
from extend_pipeline.sandbox.surface.fields import read_object
from extend_pipeline.sandbox.surface.making import (
    BodyAt,
    Order,
    make_task,
    refuse_account,
    request_ids,
    schedule_callbacks,
)

NAME = "kling"


# From a task, its parent and result, a time (ms) and a maker of links to the body of a callback.
CallbackBody = Callable[[Task, dict[str, Video], int, Link], Json]


class TaskMaker:
    """Turns good requests into tasks, and tells their callback URLs about them."""

    def __init__(self, core: Core, surface: str = NAME, *, callback_body: CallbackBody = bodies.called_back) -> None:
        """Work on that sandbox, for one of the surfaces that speak Kling; `callback_body` writes its callbacks."""
        self._core, self._callback_body = core, callback_body
        self._terms = core.terms[surface]

    def make(
        self, account: str, submit: checks.Submit, *, at_ms: int | None = None, terms: Terms | None = None
    ) -> Task | Refusal:
        """Check everything that depends on state; write task, result and charge line in one commit.

        `at_ms` is now and `terms` are the surface's, unless a past task of another customer is made.
        """
        store, key = self._core.store, submit.external_task_id
        now_ms = self._core.clock.now_ms() if at_ms is None else at_ms
        source = self._source(account, submit.video_id, now_ms)
        earlier = None if key is None else store.task_with_external_id(self._terms.surface, account, key)
        refusal = checks.refuse_duplicate(submit, earlier) or checks.refuse_source(submit, source, now_ms)
        if refusal is not None or source is None:
            return refusal or Refusal(1203)
        return self._extend(account, submit, source, now_ms, terms or self._terms)

    def _extend(self, account: str, submit: checks.Submit, source: Video, now_ms: int, terms: Terms) -> Task | Refusal:
        core = self._core
        seq = core.store.next_seq()
        task_id = seeded_random.draw_id(core.config.seed, "task", seq)
        processing_ms, done_ms = core.times(task_id, now_ms, terms.run_time)
        video_id = seeded_random.draw_id(core.config.seed, "video", seq)
        result = core.extended(source, task_id=task_id, video_id=video_id, done_ms=done_ms, segment=terms.segment)
        price_milli = self._price_milli(source)
        refusal = checks.refuse_length(source, result) or refuse_account(
            core, terms, account, now_ms, price_milli, no_money=Refusal(1102), no_slots=Refusal(1303)
        )
        if refusal is not None:
            return refusal
        order = Order(
            seq=seq,
            task_id=task_id,
            created_ms=now_ms,
            processing_ms=processing_ms,
            result=result,
            price_milli=price_milli,
            params=[submit.prompt, submit.negative_prompt, submit.cfg_scale, submit.watermark],
            failure="risk control",
            external_task_id=submit.external_task_id,
            watermark=submit.watermark,
            callback_url=submit.callback_url,
        )
        task = make_task(core, terms, order)
        schedule_callbacks(core, task, after_ms=now_ms - 1, body_at=self.bodies_of(task))
        return task

    def _price_milli(self, source: Video) -> int:
        config = self._core.config
        if self._terms.surface == "kling-gateway":
            return int(config.gateway.price * 1000)
        return int((config.price_pro if source.mode == "pro" else config.price_std) * 1000)

    def _source(self, account: str, video_id: str, now_ms: int) -> Video | None:
        video = self._core.store.video(video_id)
        if video is None or video.account != account or video.surface != self._terms.surface:
            return None
        # A seed may be dated anyhow; a result is there only once its task has ended.
        return None if video.parent_id is not None and video.created_ms > now_ms else video

    def bodies_of(self, task: Task) -> BodyAt:
        """Return the maker of the bodies of a task's callbacks."""
        videos, link = self._core.store.videos([task.parent_video_id, task.video_id]), partial(self._core.media_url, "")
        return lambda at_ms: partial(self._callback_body, task, videos, at_ms, link)


def submit_ids(surface: str, body: bytes) -> Ids:
    """Return the ids of a create request that may be no good otherwise."""
    given = read_object(body)
    if isinstance(given, str):
        return request_ids(surface, None)
    external = given.get("external_task_id")
    return request_ids(surface, None if external is None else str(external), str(given.get("video_id")))


def make_foreign(core: Core, terms: Terms, order: ForeignTask, account: str, source: str, at_ms: int) -> Task | Refusal:
    """Make a task that another customer asked for, at Kling or behind a gateway."""
    submit = checks.Submit(source, order.prompt, None, None, None, None, order.external_task_id)
    return TaskMaker(core, terms.surface).make(account, submit, at_ms=at_ms, terms=terms)
