"""Materializations of partitions, each with its own metadata and data version."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import dagster as dg
from dagster import DagsterEventType
from sqlalchemy import Connection

from extend_pipeline.dagster_defs.assets.metadata import Metadata, completed_metadata, request_metadata, source_metadata
from extend_pipeline.dagster_defs.assets.partition_state import VideoFacts, read_facts
from extend_pipeline.dagster_defs.assets.store_batch import StoreBatch, yield_all
from extend_pipeline.dagster_defs.checks.outcome import as_markdown
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.identity import read_identity
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.store import MediaStore

SOURCE_VIDEOS: Final = dg.AssetKey("source_videos")
EXTENSION_REQUESTS: Final = dg.AssetKey("extension_requests")
COMPLETED_EXTENSIONS: Final = dg.AssetKey("completed_extensions")
PARTITIONED: Final = (SOURCE_VIDEOS, EXTENSION_REQUESTS, COMPLETED_EXTENSIONS)

DATA_VERSION_TAG: Final = "dagster/data_version"
_USER_PROVIDED_TAG: Final = "dagster/data_version_is_user_provided"

CHUNK: Final = 300  # videos a time, because their events are held in memory, and the next round waits for them


def materialization(
    mount: Mount, asset: dg.AssetKey, facts: VideoFacts, store: MediaStore
) -> dg.AssetMaterialization | None:
    """Return the materialization of one partition; None if the asset has nothing of it yet."""
    metadata: Metadata
    description = None
    if asset == SOURCE_VIDEOS:
        version, metadata = facts.source_version, source_metadata(facts)
    elif asset == EXTENSION_REQUESTS and facts.attempts:
        version, metadata = facts.request_version, request_metadata(facts)
        description = as_markdown(facts.end_of(facts.newest).describe())
    elif asset == COMPLETED_EXTENSIONS and facts.stored:
        version, metadata = facts.completed_version, completed_metadata(facts, store)
    else:
        return None
    key = facts.row.video_key
    return dg.AssetMaterialization(
        mount.asset(asset), description=description, partition=key, metadata=metadata, tags=version_tags(version)
    )


def version_tags(version: str) -> dict[str, str]:
    """Return the tags by which Dagster knows the data version of a materialization that an op yields."""
    return {DATA_VERSION_TAG: version, _USER_PROVIDED_TAG: "true"}


class Recorder:
    """Records changed partitions in Dagster.

    The number of the ledger's event up to which everything is recorded is kept in Dagster's own storage, so that a
    restart reads what changed since, and a lost DAGSTER_HOME fills up again. It is kept after the materializations,
    which a crash may therefore find recorded: their versions are compared with those in Dagster's event log.
    """

    def __init__(
        self, instance: dg.DagsterInstance, pipeline: Pipeline, mount: Mount, *, store: StoreBatch = yield_all
    ) -> None:
        self._instance = instance
        self._mount = mount
        self._pipeline = pipeline
        self._store = store
        with pipeline.ledger.read() as connection:
            self._cursor_key = _cursor_key(connection, mount)
            head = queries.head(connection)
        kept = _recorded_up_to(instance, self._cursor_key)
        # an asset that was wiped in Dagster's UI fills up again, and so does one whose ledger was put back
        is_usable = (
            kept is not None
            and kept <= head
            and all(instance.has_asset_key(mount.asset(asset)) for asset in PARTITIONED)
        )
        self._seq = self._kept = kept if kept is not None and is_usable else 0
        self._waiting: dict[str, None] = {}

    def pending_events(self) -> Iterator[dg.AssetMaterialization]:
        """Record the materializations of changed partitions, of `CHUNK` videos at most, and yield those that Dagster
        has to store; call again until `done`."""
        with self._pipeline.ledger.read() as connection:
            self._waiting.update(dict.fromkeys(queries.changed_videos(connection, after_seq=self._seq)))
            self._seq = queries.head(connection)
        if keys := list(islice(self._waiting, CHUNK)):
            yield from self._store(list(self._changes(keys)))
        for key in keys:
            del self._waiting[key]
        if self.done and self._seq != self._kept:
            # after the last yield, because Dagster has written an event when it asks for the next one
            self._instance.daemon_cursor_storage.set_cursor_values({self._cursor_key: str(self._seq)})
            self._kept = self._seq

    def _changes(self, keys: Sequence[str]) -> Iterator[dg.AssetMaterialization]:
        """Yield the materializations of the videos that Dagster does not have yet. A withdrawn video whose partition is
        gone has none, until it is put back."""
        recorded = {asset: recorded_versions(self._instance, self._mount.asset(asset), keys) for asset in PARTITIONED}
        all_facts = read_facts(self._pipeline, keys)
        withdrawn = [key for key, facts in all_facts.items() if facts.row.state is VideoState.WITHDRAWN]
        kept = self._instance.get_existing_dynamic_partitions(self._mount.partitions_name, withdrawn)
        for key in set(withdrawn) - kept:
            del all_facts[key]
        for key, facts in all_facts.items():
            for asset in PARTITIONED:
                event = materialization(self._mount, asset, facts, self._pipeline.store)
                if event is None or event.tags is None or recorded[asset].get(key) == event.tags[DATA_VERSION_TAG]:
                    continue
                yield event

    @property
    def done(self) -> bool:
        """Return whether every change that was seen is recorded."""
        return not self._waiting


def lacks_everything(instance: dg.DagsterInstance, pipeline: Pipeline, mount: Mount) -> bool:
    """Return whether Dagster has no record of what the ledger has, as in a new or lost DAGSTER_HOME."""
    with pipeline.ledger.read() as connection:
        cursor_key = _cursor_key(connection, mount)
        head = queries.head(connection)
    return head > 0 and _recorded_up_to(instance, cursor_key) is None


def _cursor_key(connection: Connection, mount: Mount) -> str:
    return "/".join(["extend_pipeline/recorded", *mount.key_prefix, str(read_identity(connection).ledger_id)])


def _recorded_up_to(instance: dg.DagsterInstance, cursor_key: str) -> int | None:
    kept = instance.daemon_cursor_storage.get_cursor_values({cursor_key}).get(cursor_key)
    return None if kept is None else int(kept)


def recorded_versions(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> dict[str, str]:
    """Return the data version of the newest materialization of each partition that Dagster has one of."""
    tags_by_key = instance.event_log_storage.get_latest_tags_by_partition(
        asset, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG], asset_partitions=keys
    )
    return {key: tags[DATA_VERSION_TAG] for key, tags in tags_by_key.items() if DATA_VERSION_TAG in tags}
