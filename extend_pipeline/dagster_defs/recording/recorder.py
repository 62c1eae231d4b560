"""Record the changes of the ledger in Dagster."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from types import MappingProxyType
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.materializations import (
    ABOVE,
    CHUNK,
    COMPLETED_EXTENSIONS,
    EXTENSION_REQUESTS,
    PARTITIONED,
    PartitionWriter,
)
from extend_pipeline.dagster_defs.assets.partition_state import read_facts
from extend_pipeline.dagster_defs.assets.store_batch import StoreBatch, yield_all
from extend_pipeline.dagster_defs.assets.versions import VIDEOS_CODE_VERSION, newest_event, newest_ids
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.recording.progress import Compared, Progress
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState

COMPARE_S: Final = 10.0
"""Seconds that the end of a run spends at most on the comparison of all videos; the next run continues it."""


class Recorder:
    """Records changed partitions in Dagster.

    The number of the ledger's event up to which everything is recorded is kept in Dagster's own storage, with a digest
    of that event, so that a restart reads what changed since, and everything if DAGSTER_HOME was lost or a backup of
    the ledger was restored. It is kept after the materializations,
    which a crash may therefore find recorded: their versions are compared with those in Dagster's event log.

    A partition may read "Unsynced" once the one above it was recorded after it. At the end of a run such partitions of
    changed videos are recorded again, with what the ledger says of them now. Up to which event that was done is kept
    too, because a killed run does not come to its end.

    **All videos** are compared once where nothing is known of that, where everything is recorded anew, and for a new
    code version, which also has what an earlier one has made recorded again. That is spread: `CHUNK` videos with a
    round that has nothing else to record, and `COMPARE_S` at the end of a run. The key that it has reached is kept.
    """

    def __init__(
        self, instance: dg.DagsterInstance, pipeline: Pipeline, mount: Mount, *, store: StoreBatch = yield_all
    ) -> None:
        self._instance = instance
        self._mount = mount
        self._pipeline = pipeline
        self._writer = PartitionWriter(instance, mount, pipeline.store, store)
        with pipeline.ledger.read() as connection:
            self._progress = Progress.of(instance, mount, connection)
            head = queries.head(connection)
            kept = self._progress.recorded(connection)
        self._present = {asset for asset in PARTITIONED if instance.has_asset_key(mount.asset(asset))}
        # an asset that was wiped in Dagster's UI fills up again, and so does one whose ledger was put back
        is_usable = kept is not None and self._progress.assets() <= self._present
        self._seq = self._kept = kept if kept is not None and is_usable else 0
        self._waiting: dict[str, None] = {}
        self._touched: dict[str, None] = {}
        # requests that were recorded again with the same data version: Dagster calls no film "Unsynced" for them
        self._repeated: set[str] = set()
        compared = self._progress.compared()
        if is_usable and compared is not None and compared.code_version == VIDEOS_CODE_VERSION:
            self._compared = compared
            if compared.seq < self._kept:
                with pipeline.ledger.read() as connection:
                    self._touched = dict.fromkeys(queries.changed_videos(connection, after_seq=compared.seq))
        else:
            self._compared = self._all_again(compared, head)
            self._progress.keep_compared(self._compared)

    def pending_events(self) -> Iterator[dg.AssetMaterialization]:
        """Record the materializations of changed partitions, of `CHUNK` videos at most, and yield those that Dagster
        has to store; call again until `done`. Without changes, compare the next of all videos, if that is not over."""
        with self._pipeline.ledger.read() as connection:
            self._waiting.update(dict.fromkeys(queries.changed_videos(connection, after_seq=self._seq)))
            self._seq = queries.head(connection)
        if keys := list(islice(self._waiting, CHUNK)):
            yield from self._record(keys)
        elif self._compared.after is not None:
            yield from self._compare_next(self._compared.after)
        for key in keys:
            del self._waiting[key]
            self._touched[key] = None
        if self.done and self._seq != self._kept:
            # after the last yield, because Dagster has written an event when it asks for the next one
            with self._pipeline.ledger.read() as connection:
                self._progress.keep_recorded(connection, self._seq, self._present)
            self._kept = self._seq

    def last_events(self) -> Iterator[dg.AssetMaterialization]:
        """Record all that is left at the end of a run, and again the partitions that are behind the one above them;
        yield what Dagster has to store."""
        yield from self.pending_events()
        while not self.done:
            yield from self.pending_events()
        while keys := list(islice(self._touched, CHUNK)):
            yield from self._record_late(keys)
            for key in keys:
                del self._touched[key]
        if self._compared.seq != self._seq:
            self._keep(replace(self._compared, seq=self._seq))
        until_s = time.monotonic() + COMPARE_S
        while self._compared.after is not None and time.monotonic() < until_s:
            yield from self._compare_next(self._compared.after)

    @property
    def seq(self) -> int:
        """Return the number of the ledger's last event that was seen."""
        return self._seq

    @property
    def done(self) -> bool:
        """Return whether every change that was seen is recorded."""
        return not self._waiting

    def _record(
        self, keys: Sequence[str], late: Mapping[dg.AssetKey, Collection[str]] = MappingProxyType({})
    ) -> Iterator[dg.AssetMaterialization]:
        """Record the partitions of some videos that Dagster does not have yet or that are `late`. A withdrawn video
        whose partition is gone has none, until it is put back."""
        read = read_facts(self._pipeline, keys)
        withdrawn = [key for key, facts in read.items() if facts.row.state is VideoState.WITHDRAWN]
        kept = self._instance.get_existing_dynamic_partitions(self._mount.partitions_name, withdrawn)
        for key in set(withdrawn) - kept:
            del read[key]
        for asset in PARTITIONED:
            found = yield from self._writer.record(asset, read, again=late.get(asset, ()))
            if found:
                self._present.add(asset)
            if asset == EXTENSION_REQUESTS:
                self._repeated.difference_update(key for key, is_new in found.items() if is_new)

    def _record_late(self, keys: Sequence[str]) -> Iterator[dg.AssetMaterialization]:
        """Record again those partitions of some videos that were recorded before the one above them, or that another
        code version has made. One that names no inputs is compared by its time, so it follows the one above it."""
        ids = {asset: newest_ids(self._instance, self._mount.asset(asset), keys) for asset in PARTITIONED}
        late: dict[dg.AssetKey, set[str]] = {}
        for asset in PARTITIONED:
            above, again = (ids[ABOVE[asset]], late[ABOVE[asset]]) if asset in ABOVE else ({}, set())
            if asset == COMPLETED_EXTENSIONS:
                above = {key: id_ for key, id_ in above.items() if key not in self._repeated}
            late[asset] = {
                key
                for key, id_ in ids[asset].items()
                if id_ <= self._compared.old_id
                or id_ < above.get(key, 0)
                or (key in again and id_ <= self._compared.bare_id)
            }
        if videos := sorted(set().union(*late.values())):
            self._repeated |= late[EXTENSION_REQUESTS]
            yield from self._record(videos, late)

    def _compare_next(self, after: str) -> Iterator[dg.AssetMaterialization]:
        """Compare the next of all videos, and keep how far that is."""
        with self._pipeline.ledger.read() as connection:
            keys = queries.video_keys_after(connection, after, limit=CHUNK)
        if keys:
            yield from self._record_late(keys)
        is_over = len(keys) < CHUNK
        self._keep(
            replace(self._compared, after=None, old_id=0) if is_over else replace(self._compared, after=keys[-1])
        )

    def _keep(self, compared: Compared) -> None:
        self._progress.keep_compared(compared)
        self._compared = compared

    def _all_again(self, before: Compared | None, head: int) -> Compared:
        """Return the beginning of a comparison of all videos. What was made before a code version was kept names none;
        Dagster compares none then, so that it isn't recorded again for that."""
        found = (newest_event(self._instance, self._mount.asset(asset)) for asset in PARTITIONED)
        newest_id = max((id_ for id_, _ in filter(None, found)), default=0)
        if before is None:
            return Compared(head, VIDEOS_CODE_VERSION, bare_id=newest_id, after="")
        is_new = before.code_version != VIDEOS_CODE_VERSION
        old_id = newest_id if is_new else before.old_id
        return replace(before, seq=head, code_version=VIDEOS_CODE_VERSION, old_id=old_id, after="")
