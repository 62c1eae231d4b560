"""Bring the set of partitions in line with the ledger's videos: one key a video, never one a task, a hop or an attempt.
The catalogue is declared in the ledger before."""

import json
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

import dagster as dg
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.dagster_defs.assets.materializations import PARTITIONED
from extend_pipeline.dagster_defs.assets.versions import newest_ids
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.partition_changes import Changes, partition_changes
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.other_home import has_videos_of_others
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.identity import read_identity
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.declared_keys import (
    DeclaredKey,
    InFlight,
    declared_keys,
    earlier_keys,
    withdrawn_in_flight,
)
from extend_pipeline.ledger.write.catalog_sync import last_declared

LIST_AGAIN_MS: Final = 3_600_000  # what was added or removed by hand is put right within an hour
KEYS_A_STATEMENT: Final = 1_000  # partitions that are added at once, since they are put into one query
_UNKNOWN: Final = -1  # the number of no event: the next look lists again

PARTITIONS_JOB: Final = "partitions_job"


@dataclass(frozen=True, slots=True, kw_only=True)
class InLine:
    """What the comparison came to. `videos` is None if nothing was listed, because nothing had changed. Partitions of
    withdrawn videos that stay: those `in_flight`, and `held` ones, because too many would go at once. So many are
    `waiting` for the ledger to be accepted, before which none is removed; `blocker` says what is wrong with it."""

    videos: int | None = None
    added: int = 0
    to_add: int = 0
    removed: int = 0
    to_remove: int = 0
    in_flight: Sequence[InFlight] = ()
    held: int = 0
    waiting: int = 0
    blocker: str = ""

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
        if self.waiting:
            parts.append(f"{counted(self.waiting, 'partition')} not removed: {self.blocker}")
        return "; ".join(parts)


def bring_in_line(
    instance: dg.DagsterInstance,
    pipeline: Pipeline,
    mount: Mount,
    *,
    afresh: bool = False,
    remove_many: bool = False,
    until_s: float = math.inf,
    recorded_seq: int | None = None,
) -> InLine:
    """Add the partition of each video of the catalogue, and remove those of renamed and withdrawn ones, until a time of
    the monotonic clock; call again for the rest.

    A withdrawn video keeps its partition while an attempt of it is live. No partition is removed that the ledger knows
    nothing of, or while the ledger is not the one that the home has worked with; and, without `remove_many`, none of a
    withdrawn video if the catalogue is empty or most partitions would go. A lost DAGSTER_HOME fills up again. Where a
    run says up to which event it has recorded all, no partition goes of a video that has changed since.

    A mark in Dagster's own storage says what was in line last: while it holds, nothing is listed, unless `afresh`.
    """
    with pipeline.ledger.read() as connection:
        if has_videos_of_others(pipeline.configuration, connection, now_ms=pipeline.now_ms()):
            return InLine()  # the videos are another home's
    mark_key = _mark_key(pipeline, mount)
    mark = _read_mark(instance, mark_key)
    if not afresh and (unchanged := _still_holds(instance, pipeline, mount, mark)) is not None:
        return unchanged
    ledger, now_ms, name = look(pipeline.settings, pipeline.ledger), pipeline.now_ms(), mount.partitions_name
    listed = _list(instance, pipeline, mount, mark, remove_many=remove_many, recorded_seq=recorded_seq)
    changes = listed.changes
    surplus = [key for key in changes.remove if key not in listed.unrecorded] if ledger.may_spend else []
    waiting = 0 if ledger.may_spend else len(changes.remove)
    held, first_held = len(changes.held), min(changes.held, default="")
    if held and not mark.held:  # before others are added, beside which these may be fewer than half
        _write_mark(instance, mark_key, replace(mark, keys_seq=_UNKNOWN, held=held, first_held=first_held))
    added = _add(instance, name, changes.add, until_s)
    is_added = added == len(changes.add)
    removed = _remove(instance, pipeline, name, surplus, listed.keys_seq, until_s) if is_added else 0
    is_done = is_added and removed + waiting == len(changes.remove)
    if removed or _have_come_back(instance, mount, changes.add[:added]):
        # Dagster counts from what it has kept, in which a removed partition stays and one that came back may be missing
        instance.wipe_asset_cached_status([mount.asset(asset) for asset in PARTITIONED])
    now = _Mark(
        keys_seq=listed.keys_seq if is_done else _UNKNOWN,
        head=listed.head if is_done and not waiting else min(mark.head, listed.head),
        listed_ms=now_ms,
        in_flight=len(listed.in_flight),
        held=held,
        first_held=first_held,
        waiting=waiting,
    )
    _write_mark(instance, mark_key, now)
    return InLine(
        videos=listed.declared,
        added=added,
        to_add=len(changes.add) - added,
        removed=removed,
        to_remove=len(changes.remove) - waiting - removed,
        in_flight=listed.in_flight,
        held=held,
        waiting=waiting,
        blocker=ledger.describe() if waiting else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    """What was in line last: the ledger's event that changed the set of keys last, the last event up to which the
    partitions of renamed videos are gone, the time (UTC ms), how many live attempts withdrawn videos had, how many
    partitions were held, the first of those, and how many are `waiting` for the ledger to be accepted."""

    keys_seq: int = _UNKNOWN
    head: int = 0
    listed_ms: int = 0
    in_flight: int = 0
    held: int = 0
    first_held: str = ""
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    """All partitions compared with all videos, of which so many are `declared`, as of the ledger's event `head`; and
    the videos that have changed since a run has recorded all."""

    head: int
    keys_seq: int
    declared: int
    in_flight: Sequence[InFlight]
    changes: Changes
    unrecorded: Collection[str]


def _list(
    instance: dg.DagsterInstance,
    pipeline: Pipeline,
    mount: Mount,
    mark: _Mark,
    *,
    remove_many: bool,
    recorded_seq: int | None,
) -> _Listed:
    with pipeline.ledger.read() as connection:
        head, keys_seq = queries.head(connection), _keys_seq(connection)
        videos, in_flight = declared_keys(connection), withdrawn_in_flight(connection)
        changed = () if recorded_seq is None else queries.changed_videos(connection, after_seq=recorded_seq)
    existing = instance.get_dynamic_partitions(mount.partitions_name)
    changes = partition_changes(
        existing,
        videos,
        in_flight,
        earlier=_earlier_keys(pipeline, existing, videos, mark),
        first_held=mark.first_held,
        remove_many=remove_many,
    )
    declared = sum(not video.is_withdrawn for video in videos)
    return _Listed(
        head=head,
        keys_seq=keys_seq,
        declared=declared,
        in_flight=in_flight,
        changes=changes,
        unrecorded=frozenset(changed),
    )


def _mark_key(pipeline: Pipeline, mount: Mount) -> str:
    with pipeline.ledger.read() as connection:
        ledger_id = read_identity(connection).ledger_id
    return "/".join(["extend_pipeline/partitions", *mount.key_prefix, str(ledger_id)])


def _read_mark(instance: dg.DagsterInstance, key: str) -> _Mark:
    """Return the mark; one of nothing if there is none, or one of another version."""
    text = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    try:
        return _Mark() if text is None else _Mark(**json.loads(text))
    except TypeError:
        return _Mark()


def _write_mark(instance: dg.DagsterInstance, key: str, mark: _Mark) -> None:
    instance.daemon_cursor_storage.set_cursor_values({key: json.dumps(asdict(mark))})


def _still_holds(instance: dg.DagsterInstance, pipeline: Pipeline, mount: Mount, mark: _Mark) -> InLine | None:
    """Return what is in line if nothing can have changed since the mark."""
    with pipeline.ledger.read() as connection:
        keys_seq = _keys_seq(connection)
        in_flight = withdrawn_in_flight(connection) if mark.in_flight else ()
    if keys_seq != mark.keys_seq or len(in_flight) != mark.in_flight:
        return None
    if not 0 <= pipeline.now_ms() - mark.listed_ms < LIST_AGAIN_MS:
        return None
    if mark.held and not instance.has_dynamic_partition(mount.partitions_name, mark.first_held):
        return None
    blocker = ""
    if mark.waiting:
        ledger = look(pipeline.settings, pipeline.ledger)
        if ledger.may_spend:
            return None
        blocker = ledger.describe()
    return InLine(in_flight=in_flight, held=mark.held, waiting=mark.waiting, blocker=blocker)


def _keys_seq(connection: Connection) -> int:
    """Return the number of the event that changed the set of the videos' keys last; 0 if nothing was declared since the
    ledger knows it."""
    last = last_declared(connection)
    return 0 if last is None else last.keys_seq


def _earlier_keys(
    pipeline: Pipeline, existing: Collection[str], videos: Sequence[DeclaredKey], mark: _Mark
) -> Collection[str]:
    """Return the keys that videos had and left since the mark, or ever if it is lost; none while each partition is a
    video's, because then all events would be read for nothing."""
    if not set(existing).difference(video.video_key for video in videos):
        return ()
    with pipeline.ledger.read() as connection:
        return earlier_keys(connection, after_seq=mark.head)


def _have_come_back(instance: dg.DagsterInstance, mount: Mount, added: Sequence[str]) -> bool:
    """Return whether Dagster knows materializations of partitions that were added."""
    parts = [added[at : at + KEYS_A_STATEMENT] for at in range(0, len(added), KEYS_A_STATEMENT)]
    return any(newest_ids(instance, mount.asset(asset), part) for part in parts for asset in PARTITIONED)


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


def _remove(
    instance: dg.DagsterInstance, pipeline: Pipeline, name: str, keys: Sequence[str], keys_seq: int, until_s: float
) -> int:
    """Remove partitions, the first one in any case; return how many. Dagster removes one at a time, in some 5 ms. End
    once the set of the videos' keys is no longer that of the event `keys_seq`, because a video may have been put back,
    and a run may have added its partition."""
    removed = 0
    while removed < len(keys) and (not removed or time.monotonic() < until_s):
        with pipeline.ledger.read() as connection:
            if _keys_seq(connection) != keys_seq:
                break
        instance.delete_dynamic_partition(name, keys[removed])
        removed += 1
    return removed


def _to_come(count: int) -> str:
    return f", {count} to come" if count else ""
