"""Bring the set of partitions in line with the ledger's videos: one key a video, never one a task, a hop or an attempt.
The catalogue is declared in the ledger before."""

import json
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import dagster as dg
from sqlalchemy.exc import IntegrityError

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.dagster_defs.assets.materializations import PARTITIONED
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.other_home import other_home
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.identity import read_identity
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.declared_keys import InFlight, declared_keys, earlier_keys, withdrawn_in_flight
from extend_pipeline.ledger.write.catalog_sync import last_declared

LIST_AGAIN_MS: Final = 3_600_000  # what was added or removed by hand is put right within an hour
KEYS_A_STATEMENT: Final = 1_000  # partitions that are added at once, since they are put into one query
FEW: Final = 10
"""So many partitions may always go at once. More of them go only while they are not most of all, because then a wrong
file was probably saved."""

PARTITIONS_JOB: Final = "partitions_job"


@dataclass(frozen=True, slots=True, kw_only=True)
class InLine:
    """What the comparison came to. `videos` is None if nothing was listed, because nothing had changed. Partitions of
    withdrawn videos that stay: those `in_flight`, and `held` ones, because too many would go at once."""

    videos: int | None = None
    added: int = 0
    to_add: int = 0
    removed: int = 0
    to_remove: int = 0
    in_flight: Sequence[InFlight] = ()
    held: int = 0

    @property
    def changed(self) -> bool:
        """Return whether a partition was added or removed."""
        return bool(self.added or self.removed)

    def describe(self, mount: Mount) -> str:
        """Return one sentence: what was added and removed, and what stays and why."""
        parts = []
        if self.added or self.to_add:
            parts.append(f"{counted(self.added, 'partition')} added" + _to_come(self.to_add))
        if self.removed or self.to_remove:
            parts.append(f"{counted(self.removed, 'partition')} removed" + _to_come(self.to_remove))
        if not parts:
            parts.append("every video has its partition")
        if self.in_flight:
            tasks = [f"{key} (hop {hop}, {state.value.replace('_', ' ')})" for key, hop, state in self.in_flight]
            parts.append(f"no longer in the catalogue, and kept while in flight: {first_names(tasks)}")
        if self.held:
            parts.append(
                f"no longer in the catalogue: the videos of {counted(self.held, 'partition')}, which are kept, because "
                f"so many at once may be a mistake → correct the catalogue, or run {mount.name(PARTITIONS_JOB)} with "
                f"remove_many: true"
            )
        return "; ".join(parts)


def bring_in_line(
    instance: dg.DagsterInstance,
    pipeline: Pipeline,
    mount: Mount,
    *,
    afresh: bool = False,
    remove_many: bool = False,
    until_s: float = math.inf,
) -> InLine:
    """Add the partition of each video of the catalogue, and remove those of renamed and withdrawn ones, until a time of
    the monotonic clock; call again for the rest.

    A withdrawn video keeps its partition while an attempt of it is live. No partition is removed that the ledger knows
    nothing of, or while the ledger is not the one that the home has worked with; and, without `remove_many`, none of a
    withdrawn video if the catalogue is empty or most partitions would go. A lost DAGSTER_HOME fills up again.

    A mark in Dagster's own storage says what was in line last: while it holds, nothing is listed, unless `afresh`.
    """
    with pipeline.ledger.read() as connection:
        if other_home(pipeline.configuration, connection, now_ms=pipeline.now_ms()) is not None:
            return InLine()  # the videos are another home's
    mark_key = _mark_key(pipeline, mount)
    mark = _read_mark(instance, mark_key)
    if not afresh and mark is not None and (unchanged := _still_holds(instance, pipeline, mount, mark)) is not None:
        return unchanged
    known = look(pipeline.settings, pipeline.ledger).may_spend
    now_ms, name = pipeline.now_ms(), mount.partitions_name
    with pipeline.ledger.read() as connection:
        head, last = queries.head(connection), last_declared(connection)
        videos, in_flight = declared_keys(connection), withdrawn_in_flight(connection)
        earlier = earlier_keys(connection, after_seq=mark.head) if mark is not None else frozenset[str]()
    existing = set(instance.get_dynamic_partitions(name))
    keys = {video.video_key for video in videos}
    declared = [video.video_key for video in videos if not video.is_withdrawn]
    wanted = {*declared, *(attempt.video_key for attempt in in_flight)}
    missing = [video.video_key for video in videos if video.video_key in wanted and video.video_key not in existing]
    renamed = existing.intersection({video.first_key for video in videos} | earlier) - keys
    withdrawn = existing & keys - wanted
    held: Collection[str] = ()
    if not known:
        renamed, withdrawn = set(), set()
    elif not remove_many and (not declared or (len(withdrawn) > FEW and 2 * len(withdrawn) > len(existing))):
        held, withdrawn = withdrawn, set()
    surplus = sorted(renamed | withdrawn)
    added = _add(instance, name, missing, until_s)
    removed = _remove(instance, name, surplus, until_s) if added == len(missing) else 0
    if added or removed:
        # Dagster counts from what it has kept, in which a removed partition stays and one that came back may be missing
        instance.wipe_asset_cached_status([mount.asset(asset) for asset in PARTITIONED])
    if known and last is not None and added == len(missing) and removed == len(surplus):
        now = _Mark(last.keys_seq, head, now_ms, len(in_flight), len(held), min(held, default=""))
        instance.daemon_cursor_storage.set_cursor_values({mark_key: json.dumps(asdict(now))})
    return InLine(
        videos=len(declared),
        added=added,
        to_add=len(missing) - added,
        removed=removed,
        to_remove=len(surplus) - removed,
        in_flight=in_flight,
        held=len(held),
    )


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was in line last: the ledger's event that changed the set of keys last, its last event, the time (UTC ms),
    how many live attempts withdrawn videos had, how many partitions were held, and the first of those."""

    keys_seq: int
    head: int
    listed_ms: int
    in_flight: int
    held: int
    first_held: str


def _mark_key(pipeline: Pipeline, mount: Mount) -> str:
    with pipeline.ledger.read() as connection:
        ledger_id = read_identity(connection).ledger_id
    return "/".join(["extend_pipeline/partitions", *mount.key_prefix, str(ledger_id)])


def _read_mark(instance: dg.DagsterInstance, key: str) -> _Mark | None:
    text = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    try:
        return None if text is None else _Mark(**json.loads(text))
    except TypeError:  # of another version
        return None


def _still_holds(instance: dg.DagsterInstance, pipeline: Pipeline, mount: Mount, mark: _Mark) -> InLine | None:
    """Return what is in line if nothing can have changed since the mark."""
    with pipeline.ledger.read() as connection:
        last = last_declared(connection)
        in_flight = withdrawn_in_flight(connection) if mark.in_flight else ()
    same = last is not None and last.keys_seq == mark.keys_seq and len(in_flight) == mark.in_flight
    if not same or not 0 <= pipeline.now_ms() - mark.listed_ms < LIST_AGAIN_MS:
        return None
    if mark.held and not instance.has_dynamic_partition(mount.partitions_name, mark.first_held):
        return None
    return InLine(in_flight=in_flight, held=mark.held)


def _add(instance: dg.DagsterInstance, name: str, keys: Sequence[str], until_s: float) -> int:
    """Add partitions, the first ones in any case; return how many. Requests in a tick's result would be looked up one
    by one by Dagster's daemon, which takes minutes for 100,000."""
    added = 0
    while added < len(keys) and (not added or time.monotonic() < until_s):
        some = keys[added : added + KEYS_A_STATEMENT]
        try:
            instance.add_dynamic_partitions(name, some)
        except IntegrityError:  # a run or another tick has added one of them at the same moment
            instance.add_dynamic_partitions(name, some)
        added += len(some)
    return added


def _remove(instance: dg.DagsterInstance, name: str, keys: Sequence[str], until_s: float) -> int:
    """Remove partitions, the first one in any case; return how many. Dagster removes one at a time, in some 5 ms."""
    removed = 0
    while removed < len(keys) and (not removed or time.monotonic() < until_s):
        instance.delete_dynamic_partition(name, keys[removed])
        removed += 1
    return removed


def _to_come(count: int) -> str:
    return f", {count} to come" if count else ""
