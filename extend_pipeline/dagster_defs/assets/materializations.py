"""Materializations of partitions, each with its own metadata and versions."""

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.metadata import Metadata, completed_metadata, request_metadata, source_metadata
from extend_pipeline.dagster_defs.assets.partition_state import VideoFacts
from extend_pipeline.dagster_defs.assets.store_batch import StoreBatch
from extend_pipeline.dagster_defs.assets.versions import (
    VIDEOS_CODE_VERSION,
    Tags,
    data_versions,
    partition_inputs,
    version_tags,
)
from extend_pipeline.dagster_defs.checks.outcome import as_markdown
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.media.store import MediaStore

SOURCE_VIDEOS: Final = dg.AssetKey("source_videos")
EXTENSION_REQUESTS: Final = dg.AssetKey("extension_requests")
COMPLETED_EXTENSIONS: Final = dg.AssetKey("completed_extensions")
PARTITIONED: Final = (SOURCE_VIDEOS, EXTENSION_REQUESTS, COMPLETED_EXTENSIONS)
"""The assets with a partition a video, in the order of the graph."""

ABOVE: Final = {EXTENSION_REQUESTS: SOURCE_VIDEOS, COMPLETED_EXTENSIONS: EXTENSION_REQUESTS}

CHUNK: Final = 300  # videos a time, because their events are held in memory, and the next round waits for them


@dataclass(frozen=True, slots=True)
class PartitionWriter:
    """Records materializations of a mount's partitions in Dagster. `films` is the media store, and `store` how Dagster
    gets them."""

    instance: dg.DagsterInstance
    mount: Mount
    films: MediaStore
    store: StoreBatch

    def record(
        self, asset: dg.AssetKey, facts: Mapping[str, VideoFacts], *, again: Collection[str] = ()
    ) -> Generator[dg.AssetMaterialization, None, dict[str, bool]]:
        """Record the partitions of an asset whose data version Dagster lacks or that are to be recorded `again`, and
        yield those materializations that Dagster has to store. Those of the asset above are recorded before, because
        these name them as their inputs. Return the keys of all partitions of which the asset has something, each with
        whether Dagster lacked its data version."""
        found = {key: version for key, each in facts.items() if (version := _data_version(asset, each)) is not None}
        known = data_versions(self.instance, self.mount.asset(asset), list(found)) if found else {}
        is_new = {key: version != known.get(key) for key, version in found.items()}
        chosen = [key for key in found if key in again or is_new[key]]
        above = ABOVE.get(asset)
        inputs = {} if above is None else partition_inputs(self.instance, self.mount.asset(above), chosen)
        made = [self._make(asset, facts[key], found[key], inputs.get(key, {})) for key in chosen]
        yield from self.store(made)
        return is_new

    def _make(self, asset: dg.AssetKey, facts: VideoFacts, version: str, inputs: Tags) -> dg.AssetMaterialization:
        metadata: Metadata
        description = None
        if asset == SOURCE_VIDEOS:
            metadata = source_metadata(facts)
        elif asset == EXTENSION_REQUESTS:
            metadata = request_metadata(facts)
            description = as_markdown(facts.end_of(facts.newest).describe())
        else:
            metadata = completed_metadata(facts, self.films)
        return dg.AssetMaterialization(
            self.mount.asset(asset),
            description=description,
            partition=facts.row.video_key,
            metadata=metadata,
            tags=version_tags(version, VIDEOS_CODE_VERSION, inputs),
        )


def _data_version(asset: dg.AssetKey, facts: VideoFacts) -> str | None:
    """Return the data version of a partition; None if the asset has nothing of it yet."""
    if asset == SOURCE_VIDEOS:
        return facts.source_version
    if asset == EXTENSION_REQUESTS:
        return facts.request_version if facts.attempts else None
    return facts.completed_version if facts.stored else None
