"""Make a Luma generation from another, call its `notify_hook`, and find one for a query."""

from __future__ import annotations

from functools import partial

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults import seeded_random
from extend_pipeline.sandbox.luma import bodies, checks
from extend_pipeline.sandbox.store.foreign_tasks import ForeignTask
from extend_pipeline.sandbox.store.records import Task, Video
from extend_pipeline.sandbox.surface.account_terms import Terms
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json
from extend_pipeline.sandbox.surface.making import BodyAt, Order, make_task, refuse_account, schedule_callbacks
from extend_pipeline.sandbox.surface.presigned import presigned_url

NAME = "luma"
# About 5 s (docs/upstream/luma.md, "Result"); not exactly, so that no client counts on it.
_ADDED_MS = (4900, 5000, 5100)


class Generations:
    """An account's generations: those made here and those seeded."""

    def __init__(self, core: Core) -> None:
        """Work on that sandbox."""
        self._core, self._config, self._terms = core, core.config.luma, core.terms[NAME]

    def extend(
        self,
        account: str,
        parent_id: str,
        submit: checks.Submit,
        *,
        at_ms: int | None = None,
        terms: Terms | None = None,
    ) -> Task | Refusal:
        """Check everything that depends on state; write task, result and charge line in one commit.

        `at_ms` is now and `terms` are the surface's, unless a past task of another customer is made.
        """
        core, terms = self._core, terms or self._terms
        now_ms = core.clock.now_ms() if at_ms is None else at_ms
        source, price_milli = self._source(account, parent_id), int(self._config.price * 1000)
        made = core.store.task_with_id(NAME, account, parent_id) is not None
        no_money, no_slots = Refusal(1102, "insufficient user quota"), Refusal(1303, "too many generations at once")
        refusal = checks.refuse_source(source, parent_id, now_ms, made=made) or refuse_account(
            core, terms, account, now_ms, price_milli, no_money=no_money, no_slots=no_slots
        )
        if refusal is not None or source is None:
            return refusal or Refusal(1203)
        seq = core.store.next_seq()
        task_id = seeded_random.draw_uuid(core.config.seed, NAME, seq)
        processing_ms, done_ms = core.times(task_id, now_ms, terms.run_time)
        added_ms = _ADDED_MS[seq % len(_ADDED_MS)] if not core.config.share_media else 5000
        order = Order(
            seq=seq,
            task_id=task_id,
            created_ms=now_ms,
            processing_ms=processing_ms,
            result=core.extended(
                source, task_id=task_id, video_id=task_id, done_ms=done_ms, added_ms=added_ms, segment=terms.segment
            ),
            price_milli=price_milli,
            params=submit.params(),
            failure="moderation failed",
            callback_url=submit.notify_hook,
            details={"prompt": submit.user_prompt},
        )
        task = make_task(core, terms, order)
        schedule_callbacks(core, task, after_ms=now_ms - 1, body_at=self.bodies_of(task))
        return task

    def body(self, account: str, generation_id: str, base_url: str) -> Json | None:
        """Return what a query says now; None for a generation that this account does not have."""
        core = self._core
        task = core.store.task_with_id(NAME, account, generation_id)
        if task is not None:
            return bodies.made(core, task, self._film(task), core.clock.now_ms(), base_url)
        video = self._source(account, generation_id)
        return None if video is None else bodies.seeded(core, bodies.Film(video, core.file_ms(video)), base_url)

    def bodies_of(self, task: Task) -> BodyAt:
        """Return the maker of the bodies of a task's callbacks."""
        film = self._film(task)
        return lambda at_ms: partial(bodies.made, self._core, task, film, at_ms, "")

    def _film(self, task: Task) -> bodies.Film | None:
        video = None if task.video_id is None else self._core.store.video(task.video_id)
        return None if video is None else bodies.Film(video, self._core.file_ms(video))

    def _source(self, account: str, generation_id: str) -> Video | None:
        video = self._core.store.video(generation_id)
        return video if video is not None and (video.surface, video.account) == (NAME, account) else None


def make_foreign(core: Core, terms: Terms, order: ForeignTask, account: str, source: str, at_ms: int) -> Task | Refusal:
    """Make a generation that another customer asked for."""
    submit = checks.Submit(order.prompt or "", None, None, None, None)
    return Generations(core).extend(account, source, submit, at_ms=at_ms, terms=terms)


def link(base_url: str, video: Video, now_ms: int, ttl_s: float, key: bytes) -> str:
    """Return a presigned link to a film."""
    return presigned_url(base_url, video, now_s=now_ms // 1000, ttl_s=int(ttl_s), key=key)
