"""The input of a plan, read from the ledger. What it says of videos and accounts comes from one snapshot."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from typing import Final

from sqlalchemy import Connection

from extend_pipeline.config.model.catalogue import BranchSource, Video, root_source
from extend_pipeline.engine.declarations import declarations, may_differ, pending_renames
from extend_pipeline.engine.guards.ledger_look import look_at_home, look_inside
from extend_pipeline.engine.guards.other_home import other_home
from extend_pipeline.engine.guards.process import process_blockers
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.duplicates import find_duplicates
from extend_pipeline.engine.plan.hop_state import is_overdue
from extend_pipeline.engine.plan.model import PlanInput, SourceView, VideoPlan
from extend_pipeline.engine.plan.planner import next_hops, next_purchases
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read import open_work, queries
from extend_pipeline.ledger.read.account_totals import account_totals
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import CompleteVideo, VideoRow
from extend_pipeline.ledger.states import FINISHED, LIVE, UNFINISHED, AttemptState, VideoState
from extend_pipeline.ledger.write import catalog_sync, files, renames_and_choices
from extend_pipeline.ledger.write.hints import job_queue, webhook_inbox
from extend_pipeline.ledger.write.renames_and_choices import Renames

_NONE: Final = (0, 0)


def plan_input(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    unfinished: bool = False,
    brief: bool = False,
    walk_running: int | None = None,
    afresh: Collection[str] = (),
) -> PlanInput:
    """Return the input of a plan for the named videos (all by default), in catalogue order.

    A video that is complete in the ledger, and the same in the catalogue as when it became so, is one row: neither its
    entry nor its attempts are read. `unfinished` leaves it out, so that the cost of a round depends on the open videos
    only. `brief` counts it instead, if the ledger has this catalogue. With `walk_running` one of these walks only so
    many of the videos that wait for a running task or its result, and counts the others: nothing can be bought for
    them. The videos `afresh` are walked nevertheless.
    """
    videos = None if videos is None else frozenset(videos)  # may be many, and each of the catalogue is looked up there
    catalogue = pipeline.configuration.catalogue
    # what takes long is done between the reads, because on SQLite a commit waits for every reader
    while True:
        with pipeline.ledger.read() as connection:
            chosen = _choose(
                pipeline,
                connection,
                videos=videos,
                unfinished=unfinished,
                brief=brief,
                walk_running=walk_running,
                afresh=afresh,
            )
        planned = catalogue.of(chosen.keys)
        read = _read(pipeline, chosen, planned, _with_parents(planned, catalogue.videos))
        if read is not None:
            break
    hops = next_hops(read)
    purchases = next_purchases(hops)
    with pipeline.ledger.read() as connection:  # the claim asks again, in its own transaction
        bought = renames_and_choices.bought(connection, {purchase.digest for purchase in purchases.values()})
    duplicates = find_duplicates(read, purchases, bought, chosen.renames, named=pipeline.configuration.entries)
    return replace(read, next_hops=hops, duplicates=duplicates)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a plan is about: the `keys` of the videos that are walked, and the plans of the complete ones, or how many
    they are (`is_brief`). `running` counts, by account, those that are left out because they wait for a task.
    `renames` are those that the ledger did not have."""

    renames: Renames
    keys: Collection[str]
    finished: Mapping[str, VideoPlan]
    order: Sequence[str]
    is_brief: bool
    running: Mapping[str, int]


def _choose(
    pipeline: Pipeline,
    connection: Connection,
    *,
    videos: Collection[str] | None,
    unfinished: bool,
    brief: bool,
    walk_running: int | None,
    afresh: Collection[str],
) -> _Chosen:
    renames = pending_renames(pipeline, connection)
    within = may_differ(pipeline, catalog_sync.last_declared(connection), renames)
    is_brief = brief and videos is None and within is not None and not within
    if is_brief:
        afresh = {*afresh, *_moved_branches(pipeline, connection)}
    if unfinished or is_brief:
        keys = _unfinished(pipeline, connection, videos, within, afresh)
        left_out: Mapping[str, str] = {}
        if walk_running is not None and within is not None and not renames.videos:
            left_out = _running(pipeline, connection, keys.difference(within, afresh), walk=walk_running)
        return _Chosen(renames, keys - left_out.keys(), {}, (), is_brief, Counter(left_out.values()))
    finished = _finished(pipeline, connection, videos, renames, within, afresh)
    order = [key for key in pipeline.configuration.catalogue.videos if videos is None or key in videos]
    return _Chosen(renames, [key for key in order if key not in finished], finished, order, is_brief, {})


def _read(pipeline: Pipeline, chosen: _Chosen, planned: Sequence[Video], above: Collection[str]) -> PlanInput | None:
    """Return the input of the chosen videos and of those that they branch from (`above`), in one snapshot; None where a
    rename was carried out since they were chosen."""
    now_ms, renames = pipeline.now_ms(), chosen.renames
    home = look_at_home(pipeline.settings)
    with pipeline.ledger.read() as connection:
        if pending_renames(pipeline, connection) != renames:
            return None
        ledger = look_inside(home, pipeline.ledger, connection).blocker()
        ledger = ledger or other_home(pipeline.configuration, connection, now_ms=now_ms)
        # renamed videos are read under their old keys until the ledger has the new ones
        key_of = {renames.videos.get(key, key): key for key in above}
        sources = {key_of[row.video_key]: _source_view(row) for row in queries.videos(connection, keys=key_of)}
        names = _names(connection, key_of, renames)
        tried = queries.attempts_of(connection, key_of)
        hints = queries.hints(connection, [a.attempt_id for a in tried if a.state in LIVE])
        doubts = [attempt.attempt_id for attempt in tried if attempt.state is AttemptState.IN_DOUBT]
        refusals = {key: LastLook(text) for key, text in webhook_inbox.refusals(connection, doubts).items()}
        rows = queries.accounts(connection)
        awaited = queries.awaited(connection)
        rows |= {new: rows[old] for new, old in renames.accounts.items() if new not in rows}
        name_of = {name: rows[name].account if name in rows else name for name in pipeline.accounts}
        totals = account_totals(connection, list(name_of.values()), now_ms, zone=pipeline.configuration.timezone)
        without_film = files.without_file(connection)
        waiting = job_queue.first_without_room(connection, pipeline.accounts)
        new = [video for video in planned if video.was is not None and video.key not in renames.videos]
        misnamed = _misnamed(pipeline, connection, new, renames, bought={attempt.video_key for attempt in tried})
    attempts: dict[str, list[AttemptRow]] = {}
    account_of = {old: new for new, old in renames.accounts.items()}
    for attempt in tried:
        key, account = key_of[attempt.video_key], account_of.get(attempt.account, attempt.account)
        attempts.setdefault(key, []).append(attempt._replace(video_key=key, account=account))
    return PlanInput(
        now_ms=now_ms,
        videos=planned,
        catalogue=pipeline.configuration.catalogue.videos,
        accounts=pipeline.accounts,
        attempts=attempts,
        looks=refusals | {key: hint.look for key, hint in hints.items()},
        without_film=without_film,
        account_totals={name: totals[in_ledger] for name, in_ledger in name_of.items()},
        sources=sources,
        ledger=ledger,
        process_blockers=process_blockers(pipeline, rows, waiting),
        disk=pipeline.disk_space(awaited=awaited),
        names=names,
        on_change=pipeline.configuration.catalogue.on_change or "ask",
        misnamed=misnamed,
        finished=chosen.finished,
        order=chosen.order,
        complete=_left_out(pipeline, planned) - Counter(chosen.running) if chosen.is_brief else {},
        running=chosen.running,
    )


def _unfinished(
    pipeline: Pipeline,
    connection: Connection,
    videos: Collection[str] | None,
    within: Collection[str] | None,
    afresh: Collection[str],
) -> frozenset[str]:
    """Return the keys of the catalogue's videos that are not complete. Entries that can't differ from the ledger's are
    known by their rows there; the others may be new."""
    if videos is None and within is None:
        done = queries.video_keys(connection, FINISHED)
        return frozenset(pipeline.configuration.catalogue.videos) - (done - frozenset(afresh))
    candidates = frozenset((videos if videos is not None else within) or ())
    done = frozenset(row.video_key for row in queries.videos(connection, keys=candidates) if row.state in FINISHED)
    if videos is None:
        candidates = queries.video_keys(connection, UNFINISHED).union(candidates, afresh)
    return candidates - (done - frozenset(afresh))


def _running(pipeline: Pipeline, connection: Connection, keys: Collection[str], *, walk: int) -> dict[str, str]:
    """Return the accounts of those of the videos that wait for a running task or its result, but for the first `walk`
    of them.

    A walk of them would end at this task. The ledger has that their last walk ended at this hop, and an edit of an
    entry ends the state `working`, so that a video whose entry is not the ledger's is none of them. Neither is a
    branch, which depends on other entries, nor a video whose task has run for longer than `patience`.
    """
    now_ms, accounts = pipeline.now_ms(), pipeline.accounts
    running = {
        row.video_key: row.account
        for row in open_work.running_videos(connection)
        if row.video_key in keys
        and row.account in accounts
        and not is_overdue(row.submitted_at, accounts[row.account], now_ms)
    }
    for key in nsmallest(walk, running):
        del running[key]
    return running


def _finished(
    pipeline: Pipeline,
    connection: Connection,
    videos: Collection[str] | None,
    renames: Renames,
    within: Collection[str] | None,
    afresh: Collection[str],
) -> dict[str, VideoPlan]:
    """Return the plans of the videos that are complete and whose entries have not been edited since. A branch is left
    out if what it begins with has changed since, and so are the branches off it."""
    rows = queries.complete_videos(connection, keys=videos)
    if not rows:
        return {}
    edited = [row for row in rows if within is None or row.video_key in within]
    declared = declarations(pipeline.configuration, [row.video_key for row in edited])
    definitions = {entry.video_key: entry.definition_digest for entry in declared}
    walked = {*afresh, *renames.videos, *renames.videos.values()}
    walked |= {row.video_key for row in edited if definitions.get(row.video_key) != row.definition_digest}
    branches = {row.video_key: row for row in rows if row.branch_of is not None}
    # of some videos alone, the rows above a branch are not known
    walked |= branches.keys() if videos is not None else _moved(branches)
    return {row.video_key: _finished_plan(row) for row in rows if row.video_key not in walked}


def _moved_branches(pipeline: Pipeline, connection: Connection) -> frozenset[str]:
    """Return the complete branches for which what they begin with has changed since, and the branches off them."""
    keys = pipeline.configuration.catalogue.branches()
    rows = queries.complete_videos(connection, keys=keys) if keys else []
    return _moved({row.video_key: row for row in rows})


def _moved(branches: Mapping[str, CompleteVideo]) -> frozenset[str]:
    moved: set[str] = set()
    begun = {key for key, row in branches.items() if row.start_moved}
    while begun:
        moved |= begun
        begun = {key for key, row in branches.items() if row.branch_of in begun and key not in moved}
    return frozenset(moved)


def _left_out(pipeline: Pipeline, planned: Sequence[Video]) -> Counter[str]:
    """Return how many videos of the catalogue are not planned, by account."""
    return Counter(pipeline.configuration.catalogue.accounts()) - Counter(video.account for video in planned)


def _finished_plan(row: CompleteVideo) -> VideoPlan:
    """Return the plan of a complete video from its row in the ledger: nothing is left to do or to pay."""
    length = row.current_duration_ms
    return VideoPlan(
        key=row.video_key,
        account=row.account,
        provider=row.provider,
        state=VideoState.COMPLETE,
        hops_done=row.hops_done,
        current_ms=length,
        target_ms=row.target_ms,
        target_steps=row.target_steps,
        is_branch=row.branch_of is not None,
        hops_left=_NONE,
        end_ms=None if length is None else (length, length),
        micros_left=_NONE,
    )


def _misnamed(
    pipeline: Pipeline, connection: Connection, new: Sequence[Video], renames: Renames, *, bought: Collection[str]
) -> dict[str, str]:
    """Return `PlanInput.misnamed` among the videos that name an earlier key which is not renamed. `bought` are the
    videos that have attempts."""
    catalogue = pipeline.configuration.catalogue.videos
    named = {video.key: video for video in new if video.key not in bought}
    if not named:
        return {}
    lost = renames_and_choices.unknown(connection, {video.was for video in named.values() if video.was is not None})
    sources = {key: root_source(video, catalogue).source_id for key, video in named.items() if video.was in lost}
    known = catalogue.keys() | set(renames.videos.values())
    left = renames_and_choices.left_from(connection, sources.values(), catalogue=known)
    return {key: left[source] for key, source in sources.items() if source in left}


def chain_names(pipeline: Pipeline, connection: Connection, keys: Collection[str]) -> chain.Names:
    """Return the names for the chain digests of these videos and of the videos they branch from."""
    catalogue = pipeline.configuration.catalogue
    renames = pending_renames(pipeline, connection)
    above = _with_parents(catalogue.of(keys), catalogue.videos)
    return _names(connection, {renames.videos.get(key, key): key for key in above}, renames)


def _names(connection: Connection, key_of: Mapping[str, str], renames: Renames) -> chain.Names:
    """Return the names for chain digests; `key_of` maps the ledger's keys to the catalogue's."""
    first_keys, first_accounts = renames_and_choices.first_names(connection, key_of)
    videos = {new: first_keys.get(old, old) for new, old in renames.videos.items()}
    accounts = {new: first_accounts.get(old, old) for new, old in renames.accounts.items()}
    return chain.Names(
        {**{key_of[key]: first for key, first in first_keys.items()}, **videos},
        {**renames.unknown, **first_accounts, **accounts},
        {key_of[key]: chosen for key, chosen in renames_and_choices.choices_of(connection, key_of).items()},
    )


def _with_parents(videos: Sequence[Video], catalogue: Mapping[str, Video]) -> list[str]:
    keys = []
    for video in videos:
        keys.append(video.key)
        source = video.source
        while isinstance(source, BranchSource):
            keys.append(source.branch_of)
            source = catalogue[source.branch_of].source
    return keys


def _source_view(row: VideoRow) -> SourceView:
    same = row.source_sha256 is not None and row.source_sha256 == row.earlier_source_sha256
    return SourceView(row.source_probed_ms, row.source_path, row.source_fault, same_file_as_before=same)
