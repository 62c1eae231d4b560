"""Keys that this home's own catalogue asks for. A ledger that was put back from a backup knows nothing of what was paid
since; its steps come to those tasks again by their keys, which a provider takes only once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine.plan import chain
from extend_pipeline.providers.registry import spec_of

GENERATIONS: Final = 3  # the first, and what a person may have had sent again


def steps_by_key(
    account: str, videos: Mapping[str, Video], keys: Collection[str], names: chain.Names
) -> dict[str, str]:
    """Return which of some keys an account's steps in the catalogue have, and of which step: VIDEO/HOP by key."""
    wanted, found = set(keys), dict[str, str]()
    for video in videos.values():
        if video.account != account:
            continue
        if not wanted:
            break
        steps = chain.digests(video, _most_hops(video), videos=videos, names=names)
        for hop, name in enumerate(steps[1:], start=1):
            for generation in range(1, GENERATIONS + 1):
                key = chain.external_task_id(
                    video_key=names.video(video.key), hop=hop, generation=generation, chain_digest=name
                )
                if key in wanted:
                    wanted.discard(key)
                    found[key] = f"{video.key}/{hop}"
    return found


def _most_hops(video: Video) -> int:
    if video.extend.steps is not None:
        return video.extend.steps
    least_ms, _ = spec_of(video.provider).added_ms(video.extend)
    return -(-(video.extend.to_ms or 0) // least_ms)
