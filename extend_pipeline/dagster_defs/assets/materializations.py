"""Materializations of partitions, each with its own metadata and versions."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final

import dagster as dg
from sqlalchemy import Connection

from extend_pipeline.dagster_defs.assets.metadata import Metadata, completed_metadata, request_metadata, source_metadata
from extend_pipeline.dagster_defs.assets.partition_state import VideoFacts, read_facts
from extend_pipeline.dagster_defs.assets.store_batch import StoreBatch, yield_all
from extend_pipeline.dagster_defs.assets.versions import (
    VIDEOS_CODE_VERSION,
    Tags,
    data_versions,
    newest_ids,
    partition_inputs,
    version_tags,
)
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
"""The assets with a partition a video, in the order of the graph."""

_ABOVE: Final = {EXTENSION_REQUESTS: SOURCE_VIDEOS, COMPLETED_EXTENSIONS: EXTENSION_REQUESTS}

CHUNK: Final = 300  # videos a time, because their events are held in memory, and the next round waits for them


def materializations(
    instance: dg.DagsterInstance,
    mount: Mount,
    asset: dg.AssetKey,
    facts: Mapping[str, VideoFacts],
    store: MediaStore,
) -> dict[str, dg.AssetMaterialization]:
    """Return the materializations of an asset's partitions, by key; partitions of which it has nothing yet are left
    out. Those of the asset above are stored before, because these name them as their inputs."""
    versions = {key: data_version(asset, each) for key, each in facts.items()}
    keys = [key for key, version in versions.items() if version is not None]
    above = _ABOVE.get(asset)
    inputs = {} if above is None else partition_inputs(instance, mount.asset(above), keys)
    return {
        key: _materialization(mount, asset, facts[key], store, version, inputs.get(key, {}))
        for key, version in versions.items()
        if version is not None
    }


def data_version(asset: dg.AssetKey, facts: VideoFacts) -> str | None:
    """Return the data version of a partition; None if the asset has nothing of it yet."""
    if asset == SOURCE_VIDEOS:
        return facts.source_version
    if asset == EXTENSION_REQUESTS:
        return facts.request_version if facts.attempts else None
    return facts.completed_version if facts.stored else None


def _materialization(
    mount: Mount, asset: dg.AssetKey, facts: VideoFacts, store: MediaStore, version: str, inputs: Tags
) -> dg.AssetMaterialization:
    metadata: Metadata
    description = None
    if asset == SOURCE_VIDEOS:
        metadata = source_metadata(facts)
    elif asset == EXTENSION_REQUESTS:
        metadata = request_metadata(facts)
        description = as_markdown(facts.end_of(facts.newest).describe())
    else:
        metadata = completed_metadata(facts, store)
    return dg.AssetMaterialization(
        mount.asset(asset),
        description=description,
        partition=facts.row.video_key,
        metadata=metadata,
        tags=version_tags(version, VIDEOS_CODE_VERSION, inputs),
    )


class Recorder:
    """Records changed partitions in Dagster.

    The number of the ledger's event up to which everything is recorded is kept in Dagster's own storage, so that a
    restart reads what changed since, and a lost DAGSTER_HOME fills up again. It is kept after the materializations,
    which a crash may therefore find recorded: their versions are compared with those in Dagster's event log.

    A partition may read "Unsynced" once the one above it was recorded after it. At the end of a run such partitions are
    recorded again, with what the ledger says of them now. Up to which event, and with which code version, that was done
    is kept too, because a killed run does not come to its end.
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
            self._synced_key = _cursor_key(connection, mount, "synced")
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
        self._touched: dict[str, None] = {}
        self._synced = instance.daemon_cursor_storage.get_cursor_values({self._synced_key}).get(self._synced_key)
        seq, _, code_version = (self._synced or "0").partition(" ")
        self._has_new_code = kept is not None and code_version != VIDEOS_CODE_VERSION
        if kept is not None and (self._has_new_code or int(seq) < kept):
            with pipeline.ledger.read() as connection:
                keys = queries.changed_videos(connection, after_seq=0 if self._has_new_code else int(seq))
            self._touched = dict.fromkeys(keys)

    def pending_events(self) -> Iterator[dg.AssetMaterialization]:
        """Record the materializations of changed partitions, of `CHUNK` videos at most, and yield those that Dagster
        has to store; call again until `done`."""
        with self._pipeline.ledger.read() as connection:
            self._waiting.update(dict.fromkeys(queries.changed_videos(connection, after_seq=self._seq)))
            self._seq = queries.head(connection)
        if keys := list(islice(self._waiting, CHUNK)):
            yield from self._record(keys)
        for key in keys:
            del self._waiting[key]
            self._touched[key] = None
        if self.done and self._seq != self._kept:
            # after the last yield, because Dagster has written an event when it asks for the next one
            self._instance.daemon_cursor_storage.set_cursor_values({self._cursor_key: str(self._seq)})
            self._kept = self._seq

    def last_events(self) -> Iterator[dg.AssetMaterialization]:
        """Record all that is left at the end of a run, and again the partitions that are behind the one above them;
        yield what Dagster has to store."""
        yield from self.pending_events()
        while not self.done:
            yield from self.pending_events()
        while keys := list(islice(self._touched, CHUNK)):
            behind = self._find_behind(keys)
            if late := sorted(set().union(*behind.values())):
                yield from self._record(late, behind)
            for key in keys:
                del self._touched[key]
        synced = f"{self._seq} {VIDEOS_CODE_VERSION}"
        if synced != self._synced:
            self._instance.daemon_cursor_storage.set_cursor_values({self._synced_key: synced})
            self._synced, self._has_new_code = synced, False

    def _record(
        self, keys: Sequence[str], behind: Mapping[dg.AssetKey, Collection[str]] = MappingProxyType({})
    ) -> Iterator[dg.AssetMaterialization]:
        """Record the partitions of some videos that Dagster does not have yet or that are `behind`, asset by asset,
        because a materialization names the one above it by its id. A withdrawn video whose partition is gone has none,
        until it is put back."""
        read = read_facts(self._pipeline, keys)
        withdrawn = [key for key, facts in read.items() if facts.row.state is VideoState.WITHDRAWN]
        kept = self._instance.get_existing_dynamic_partitions(self._mount.partitions_name, withdrawn)
        for key in set(withdrawn) - kept:
            del read[key]
        for asset in PARTITIONED:
            known = data_versions(self._instance, self._mount.asset(asset), keys)
            late = behind.get(asset, ())
            chosen = {
                key: facts for key, facts in read.items() if key in late or data_version(asset, facts) != known.get(key)
            }
            made = materializations(self._instance, self._mount, asset, chosen, self._pipeline.store)
            yield from self._store(list(made.values()))

    def _find_behind(self, keys: Sequence[str]) -> Mapping[dg.AssetKey, Collection[str]]:
        """Return the partitions that were recorded before the one above them, by asset; all if the code version is
        another one."""
        if self._has_new_code:
            return dict.fromkeys(PARTITIONED, keys)
        ids = {asset: newest_ids(self._instance, self._mount.asset(asset), keys) for asset in PARTITIONED}
        return {
            asset: [key for key, id_ in ids[asset].items() if id_ < ids[above].get(key, 0)]
            for asset, above in _ABOVE.items()
        }

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


def _cursor_key(connection: Connection, mount: Mount, what: str = "recorded") -> str:
    return "/".join([f"extend_pipeline/{what}", *mount.key_prefix, str(read_identity(connection).ledger_id)])


def _recorded_up_to(instance: dg.DagsterInstance, cursor_key: str) -> int | None:
    kept = instance.daemon_cursor_storage.get_cursor_values({cursor_key}).get(cursor_key)
    return None if kept is None else int(kept)
