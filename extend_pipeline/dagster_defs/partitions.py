"""The only partitions definition: one key a video, never one a task, a hop or an attempt."""

from collections.abc import Collection

import dagster as dg

VIDEOS = "videos"
videos = dg.DynamicPartitionsDefinition(name=VIDEOS)


def add_missing(instance: dg.DagsterInstance, keys: Collection[str]) -> list[str]:
    """Add the keys that the instance lacks, and return them. None is removed, because paid results stay visible."""
    existing = set(instance.get_dynamic_partitions(VIDEOS))
    missing = [key for key in keys if key not in existing]
    if missing:
        instance.add_dynamic_partitions(VIDEOS, missing)
    return missing
