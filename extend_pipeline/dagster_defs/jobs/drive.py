"""How long a run goes on: rounds of the engine while something is due soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from extend_pipeline.engine.advance import MAX_WAIT_MS, STALE_PART_S, Round, advance, next_wait_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries


def rounds(pipeline: Pipeline, *, linger_s: float, max_seconds: float) -> Iterator[Round]:
    """Rounds over everything, while something is due within `linger_s` seconds and for `max_seconds` at most.

    A busy pipeline is so one long run, and not a run a tick. The caller works between the rounds. Publishes no more
    often than once in a few seconds; the end is the caller's.
    """
    pipeline.store.sweep(older_than_s=STALE_PART_S, now=pipeline.now_ms() / 1000)
    published, ends_s = pipeline.now_ms(), time.monotonic() + max_seconds
    pause = threading.Event()
    while True:
        publish = abs(pipeline.now_ms() - published) >= MAX_WAIT_MS  # a clock may be set back
        now = advance(pipeline, publish=publish)
        if publish:
            published = pipeline.now_ms()
        yield now
        wait_ms = next_wait_ms(pipeline, now)
        left_ms = (ends_s - time.monotonic()) * 1000
        if wait_ms is None or left_ms <= 0 or not due_within(pipeline, now, linger_s):
            return
        pause.wait(min(wait_ms, left_ms) / 1000)


def due_within(pipeline: Pipeline, now: Round, seconds: float) -> bool:
    """Return whether anything goes on by itself within so many seconds."""
    if now.did_something or now.plan.due:
        return True
    with pipeline.ledger.read() as connection:
        pollable = pipeline.accounts.keys() - pipeline.without_key().keys()
        scheduled = queries.scheduled_videos(connection, accounts=pollable)
    for video in now.plan.needs_person:
        scheduled.pop(video.key, None)
    moments = list(scheduled.values())
    moments += [v.blocker.until_ms for v in now.plan.unfinished if v.blocker and v.blocker.until_ms]
    return any(moment <= pipeline.now_ms() + seconds * 1000 for moment in moments)
