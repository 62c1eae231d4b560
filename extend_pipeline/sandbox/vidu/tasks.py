"""Making a Vidu task: the source behind the URL, money and slots, then the task."""

from __future__ import annotations

from dataclasses import replace

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults import seeded_random
from extend_pipeline.sandbox.store.foreign_tasks import ForeignTask
from extend_pipeline.sandbox.store.records import Task, Video
from extend_pipeline.sandbox.surface.account_terms import Terms
from extend_pipeline.sandbox.surface.making import Order, make_task, refuse_account
from extend_pipeline.sandbox.vidu.checks import Submit
from extend_pipeline.sandbox.vidu.errors import NO_MONEY, Refusal
from extend_pipeline.sandbox.vidu.prices import price_milli
from extend_pipeline.sandbox.vidu.sources import source_of

NAME = "vidu"


def make(
    core: Core, account: str, submit: Submit, base_url: str, *, at_ms: int | None = None, terms: Terms | None = None
) -> Task | Refusal:
    """Check everything that depends on state; write task, result and charge line in one commit.

    `at_ms` is now and `terms` are the surface's, unless a past task of another customer is made.
    """
    terms, now_ms = terms or core.terms[NAME], core.clock.now_ms() if at_ms is None else at_ms
    source = source_of(core, submit.video_url, base_url)
    if isinstance(source, Refusal):
        return source
    price = price_milli(submit.model, submit.resolution, submit.seconds)
    no_money, no_slots = Refusal("forbidden", NO_MONEY), Refusal("rate_limit", "too many tasks at once")
    refusal = refuse_account(core, terms, account, now_ms, price, no_money=no_money, no_slots=no_slots)
    if refusal is not None:
        return refusal
    seq = core.store.next_seq()
    task_id = seeded_random.draw_uuid(core.config.seed, NAME, seq)
    processing_ms, done_ms = core.times(task_id, now_ms, terms.run_time)
    order = Order(
        seq=seq,
        task_id=task_id,
        created_ms=now_ms,
        processing_ms=processing_ms,
        result=_result(core, source, account, submit, task_id=task_id, done_ms=done_ms),
        price_milli=price,
        params=submit.params(),
        failure="the generated video did not pass the content check",
        details={"seconds": submit.seconds, "prompt": submit.prompt, "resolution": submit.resolution},
    )
    return make_task(core, terms, order)


def _result(core: Core, source: Video, account: str, submit: Submit, *, task_id: str, done_ms: int) -> Video:
    """Unlike Kling's or Luma's, the source may be anybody's: the result is the payer's."""
    result = core.extended(
        source,
        task_id=task_id,
        video_id=f"{task_id}-extended",
        done_ms=done_ms,
        added_ms=submit.seconds * 1000,
        segment=core.terms[NAME].segment,
    )
    return replace(result, account=account, surface=NAME)


def make_foreign(core: Core, terms: Terms, order: ForeignTask, account: str, source: str, at_ms: int) -> Task | Refusal:
    """Make a task that another customer asked for."""
    submit = Submit("viduq2-turbo", core.public_url(source), None, order.prompt, 5, "720p")
    return make(core, account, submit, core.base_url, at_ms=at_ms, terms=terms)
