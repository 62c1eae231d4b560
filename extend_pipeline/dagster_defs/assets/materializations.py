"""Materializations of partitions, each with its own metadata and data version."""

from collections.abc import Iterator
from typing import Final

import dagster as dg
from dagster import DagsterEventType

from extend_pipeline.dagster_defs.assets.metadata import Metadata, completed_metadata, request_metadata, source_metadata
from extend_pipeline.dagster_defs.assets.partition_state import VideoFacts, read_facts
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.media.store import MediaStore

SOURCE_VIDEOS: Final = dg.AssetKey("source_videos")
EXTENSION_REQUESTS: Final = dg.AssetKey("extension_requests")
COMPLETED_EXTENSIONS: Final = dg.AssetKey("completed_extensions")
PARTITIONED: Final = (SOURCE_VIDEOS, EXTENSION_REQUESTS, COMPLETED_EXTENSIONS)

DATA_VERSION_TAG: Final = "dagster/data_version"
_USER_PROVIDED_TAG: Final = "dagster/data_version_is_user_provided"

CHUNK: Final = 300  # videos a time: an event takes 16-26 ms on SQLite, and the next round waits for them


def materialization(asset: dg.AssetKey, facts: VideoFacts, store: MediaStore) -> dg.AssetMaterialization | None:
    """Return the materialization of one partition; None if the asset has nothing of it yet."""
    metadata: Metadata
    if asset == SOURCE_VIDEOS:
        version, metadata = facts.source_version, source_metadata(facts)
    elif asset == EXTENSION_REQUESTS and facts.attempts:
        version, metadata = facts.request_version, request_metadata(facts)
    elif asset == COMPLETED_EXTENSIONS and facts.stored:
        version, metadata = facts.completed_version, completed_metadata(facts, store)
    else:
        return None
    key = facts.row.video_key
    return dg.AssetMaterialization(asset, partition=key, metadata=metadata, tags=version_tags(version))


def version_tags(version: str) -> dict[str, str]:
    """Return the tags by which Dagster knows the data version of a materialization that an op yields."""
    return {DATA_VERSION_TAG: version, _USER_PROVIDED_TAG: "true"}


class Recorder:
    """Records changed partitions in Dagster. The versions recorded so far are read from Dagster's event log, so that no
    version is recorded twice, none is missed after a crash, and a lost DAGSTER_HOME fills up again."""

    def __init__(self, instance: dg.DagsterInstance, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._recorded = {asset: _versions(instance, asset) for asset in PARTITIONED}
        self._seq = 0
        self._waiting: dict[str, None] = {}

    def pending_events(self) -> Iterator[dg.AssetMaterialization]:
        """Yield materializations of changed partitions, of `CHUNK` videos at most; call again until `done`."""
        with self._pipeline.ledger.read() as connection:
            self._waiting.update(dict.fromkeys(queries.changed_videos(connection, after_seq=self._seq)))
            self._seq = queries.head(connection)
        keys = list(self._waiting)[:CHUNK]
        for key, facts in read_facts(self._pipeline, keys).items():
            for asset in PARTITIONED:
                event = materialization(asset, facts, self._pipeline.store)
                if (
                    event is None
                    or event.tags is None
                    or self._recorded[asset].get(key) == event.tags[DATA_VERSION_TAG]
                ):
                    continue
                yield event
                self._recorded[asset][key] = event.tags[DATA_VERSION_TAG]
        for key in keys:
            del self._waiting[key]

    @property
    def done(self) -> bool:
        """Return whether every change that was seen is recorded."""
        return not self._waiting


def _versions(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, str]:
    tags_by_key = instance.event_log_storage.get_latest_tags_by_partition(
        asset, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG]
    )
    return {key: tags[DATA_VERSION_TAG] for key, tags in tags_by_key.items() if DATA_VERSION_TAG in tags}
