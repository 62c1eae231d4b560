"""Idempotency keys that the current catalogue will generate. A ledger restored from an older backup has no record of
later purchases; re-submitting a step with the same key finds the existing task."""

from collections.abc import Mapping
from typing import Final

from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.inputs import chain_names
from extend_pipeline.providers.protocol import Found, QueryOutcome
from extend_pipeline.providers.registry import spec_of

GENERATIONS: Final = 3  # the first, and those of an operator's resubmits


def keys_of(outcomes: Mapping[str, QueryOutcome]) -> set[str]:
    """Return the keys that the tasks carry."""
    return {outcome.view.external_task_id or "" for outcome in outcomes.values() if isinstance(outcome, Found)} - {""}


def expected_steps(pipeline: Pipeline, account: str, outcomes: Mapping[str, QueryOutcome]) -> dict[str, str]:
    """Return VIDEO/HOP by key, for those of the tasks' keys that belong to a step of the account in the catalogue."""
    catalogue, missing, steps = pipeline.configuration.catalogue, keys_of(outcomes), dict[str, str]()
    if not missing:
        return steps
    videos = catalogue.videos
    with pipeline.ledger.read() as connection:
        names = chain_names(pipeline, connection, videos)
    for video in catalogue.each():
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
