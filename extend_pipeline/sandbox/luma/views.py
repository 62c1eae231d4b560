"""What a query or a notice says of a generation at a time; it reads nothing, so that any thread may ask."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.luma import bodies
from extend_pipeline.sandbox.luma.states import state_at
from extend_pipeline.sandbox.store.records import Task, Video
from extend_pipeline.sandbox.surface.exchange import Json


@dataclass(frozen=True)
class Film:
    """A video and the length of its file (ms)."""

    video: Video
    file_ms: int


def seeded(core: Core, film: Film, base_url: str) -> Json:
    """Return a generation that was there from the start."""
    video = film.video
    file = _file(core, film, base_url)
    return bodies.generation(video.video_id, "completed", created_ms=video.created_ms, file=file)


def made(core: Core, task: Task, film: Film | None, now_ms: int, base_url: str) -> Json:
    """Return a generation made here; `film` is what comes of it, None if it fails."""
    state = state_at(task, now_ms)
    return bodies.generation(
        task.task_id,
        state,
        created_ms=task.created_ms,
        prompt=str(task.details["prompt"]),
        file=_file(core, film, base_url) if film is not None and state == "completed" else None,
        failure_reason=task.failure if state == "failed" and core.config.luma.failure_reason else None,
    )


def _file(core: Core, film: Film, base_url: str) -> bodies.File:
    """`url` is the watermarked one; the clean one is missing where a reseller does not give it."""
    config, link = core.config.luma, core.media_url(base_url, film.video)
    return bodies.File(
        url=f"{link}&watermark=1",
        download_url=link if config.clean_url else "",
        width=core.config.width,
        height=core.config.height,
        duration=film.file_ms / 1000 if config.raw_duration else None,
    )
