"""Idempotency keys that the current catalogue will generate. A ledger restored from an older backup has no record of
later purchases; re-submitting a step with the same key finds the existing task. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine.plan import chain
from extend_pipeline.providers.registry import spec_of

GENERATIONS: Final = 3  # the first, and those of an operator's resubmits


def steps_by_key(
    account: str, videos: Mapping[str, Video], keys: Collection[str], names: chain.Names
) -> dict[str, str]:
    """Return VIDEO/HOP by key, for those of the keys that belong to a step of the account in the catalogue."""
    missing, steps = set(keys), dict[str, str]()
    for video in videos.values():
        if video.account != account:
            continue
        if not missing:
            break
        digests = chain.digests(video, _max_hops(video), videos=videos, names=names)
        for hop, digest in enumerate(digests[1:], start=1):
            for generation in range(1, GENERATIONS + 1):
                key = chain.external_task_id(
                    video_key=names.video(video.key), hop=hop, generation=generation, chain_digest=digest
                )
                if key in missing:
                    missing.discard(key)
                    steps[key] = f"{video.key}/{hop}"
    return steps


def _max_hops(video: Video) -> int:
    if video.extend.steps is not None:
        return video.extend.steps
    least_ms, _ = spec_of(video.provider).added_ms(video.extend)
    return -(-(video.extend.to_ms or 0) // least_ms)
