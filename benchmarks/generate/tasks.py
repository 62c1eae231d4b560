"""The other side of what is in flight: the tasks as the sandbox has them, so that a generated home can be polled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from benchmarks.generate.films import lineage
from benchmarks.generate.names import VideoNames
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.store.records import Charge, Task

_UNITS_MILLI = 2_000


def plant_tasks(core: Core, videos: Iterable[VideoNames], *, made_ms: int, done_ms: int) -> None:
    """Write the last hop of each video into the sandbox's state as a task that ends at `done_ms` (UTC ms), and the
    films before it."""
    account = core.config.account
    with core.store.transaction():
        for seq, video in enumerate(videos, start=core.store.next_seq()):
            ids = [(hop.task_id, hop.video_id) for hop in video.hops]
            *before, result = lineage(core, video.source_id, ids, account=account, at_ms=made_ms)
            for earlier in before:
                core.store.add_video(earlier)
            last = video.hops[-1]
            task = Task(
                seq=seq,
                task_id=last.task_id,
                account=account,
                surface="kling",
                external_task_id=last.external_task_id,
                parent_video_id=before[-1].video_id,
                video_id=last.video_id,
                watermark=None,
                callback_url=None,
                created_ms=made_ms,
                processing_ms=made_ms,
                done_ms=done_ms,
                failure=None,
                units_milli=_UNITS_MILLI,
                refunded=False,
            )
            charge = Charge(
                last.task_id, last.external_task_id, account, task.parent_video_id, "", _UNITS_MILLI, made_ms, None
            )
            core.store.add_task(task, replace(result, created_ms=done_ms), charge)
