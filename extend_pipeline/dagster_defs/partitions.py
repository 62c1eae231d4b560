"""The one partitions definition: a key a video; never one a task, a hop or an attempt."""

from collections.abc import Collection

import dagster as dg

VIDEOS = "videos"
videos = dg.DynamicPartitionsDefinition(name=VIDEOS)


def add_missing(instance: dg.DagsterInstance, keys: Collection[str]) -> list[str]:
    """Add the keys that the instance lacks, and answer them. Nothing is ever removed: what was paid stays visible."""
    there = set(instance.get_dynamic_partitions(VIDEOS))
    missing = [key for key in keys if key not in there]
    if missing:
        instance.add_dynamic_partitions(VIDEOS, missing)
    return missing
