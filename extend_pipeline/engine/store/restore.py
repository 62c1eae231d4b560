"""Brings back what is missing in the media store: results from their providers, films from their parts, sources from
where they came. Nothing is paid for it."""

from __future__ import annotations

import logging
from typing import Any, Final

from sqlalchemy import Row

from extend_pipeline.engine.fetch.fetch import FetchFailure, fetch, source_key
from extend_pipeline.engine.fetch.media_analysis import analyse, file_columns, parent_file, put_poster, stored_file
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling.lease import Lease
from extend_pipeline.engine.store.watch import fetch_again
from extend_pipeline.engine.submit.source_probe import fetch_source, needs_source
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import catalog_sync, files, job_queue, transitions
from extend_pipeline.ledger.write.files import FileKey, Role
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.store import MediaRef, Stored

FIRST_GAP_MS: Final = 60_000  # after a film or a source that could not be brought back; doubles
MAX_GAP_MS: Final = 6 * 3_600_000
SOURCE_GONE_AFTER: Final = 3  # times in a row that a source is said to be gone
_log = logging.getLogger(__name__)


def keep_restored(pipeline: Pipeline, row: Row[Any], got: Stored) -> None:
    """Write down that a result came again. Other bytes than before are kept as the attempt's file, since they are all
    that there is, and the event says so. ProbeUnavailable where this machine can't look at the film."""
    key = FileKey(row.attempt_id, Role.RESULT)
    same = got.path == row.path
    message = "fetched again" if same else f"the provider sent another file than before: {got.sha256}, not {row.sha256}"
    data: dict[str, object] = {}
    if same:
        put_poster(pipeline, row, got)
    else:
        _log.warning("%s/%s: %s", row.video_key, row.hop, message)
        data = {**file_columns(got), "poster_path": put_poster(pipeline, row, got)}
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if data:
            account, video = row.account, row.video_key
            tx.append("attempt_file_replaced", attempt_id=row.attempt_id, video_key=video, account=account, data=data)
        files.restored(tx, key, row, message)
        transitions.unschedule(tx, row.attempt_id)


def lose_or_wait(
    pipeline: Pipeline, row: Row[Any], hold: Lease, missed: FetchFailure, *, over: bool, gap_ms: int, note: str
) -> str:
    """Write down that a stored result could not be fetched again: it is lost once it can't be had any more, else it is
    tried again after a gap. Return `again` or `lost`."""
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if not hold.held(tx):
            return "again"
        if over:
            files.lost(tx, FileKey(row.attempt_id, Role.RESULT), row, missed.message)
            transitions.unschedule(tx, row.attempt_id)
            return "lost"
        transitions.schedule(
            tx,
            row.attempt_id,
            account=row.account,
            due_at=tx.now_ms + gap_ms,
            note=note,
            tries=row.tries + 1,
            while_in=(AttemptState.STORED,),
        )
        return "again"


def restore_parts(pipeline: Pipeline) -> list[str]:
    """Assemble the films and fetch the sources that are missing; results are fetched by `collect`. Return VIDEO/HOP or
    VIDEO of what is there again. Costs what is missing."""
    with pipeline.ledger.read() as connection:
        rows = files.found_missing(connection, states=("missing",))
        hinted = job_queue.scheduled(connection, [row.owner for row in rows if row.role == Role.RESULT.value])
    done = []
    for row in rows:
        role, now_ms = Role(row.role), pipeline.now_ms()
        if role is Role.RESULT:
            if row.owner not in hinted:  # hints are no part of the events, and may be lost
                with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
                    fetch_again(tx, FileKey(row.owner, role), account=row.account)
        elif _is_due(row, now_ms):
            if role is Role.FILM and _assemble(pipeline, row):
                done.append(f"{row.video_key}/{row.hop}")
            if role is Role.SOURCE and _fetch_source(pipeline, row):
                done.append(row.video_key)
    return done


def _is_due(row: Row[Any], now_ms: int) -> bool:
    gap_ms = min(FIRST_GAP_MS * 2 ** min(row.tries, 20), MAX_GAP_MS)
    return row.tried_at is None or not 0 <= now_ms - row.tried_at < gap_ms


def _assemble(pipeline: Pipeline, missing: Row[Any]) -> bool:
    """Make a film again once both of its parts are there. Until then nothing is tried."""
    with pipeline.ledger.read() as connection:
        row = queries.attempt(connection, missing.owner)
        own = files.state_of_file(connection, FileKey(missing.owner, Role.RESULT))
    if row is None or own in files.OPEN or not pipeline.store.exists(MediaRef.parse(row.path)):
        return False
    if parent_file(pipeline, row).ref is None:
        return False
    try:
        seen = analyse(pipeline, row, stored_file(row))
    except ProbeUnavailable:
        return False  # another round will look
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if seen.film is None:
            files.not_restored(tx, missing, seen.film_note or "the file is no segment")
            return False
        transitions.examined(tx, row.attempt_id, seen.columns())
        files.restored(tx, FileKey(missing.owner, Role.FILM), missing, "assembled again")
    return True


def _fetch_source(pipeline: Pipeline, missing: Row[Any]) -> bool:
    """Fetch the copy of a video's source again: from where the catalogue says, or where the first hop's task told."""
    if missing.account not in pipeline.accounts:
        return False
    got = _source(pipeline, missing)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if isinstance(got, FetchFailure):
            files.not_restored(tx, missing, got.message)
            if got.stale_url and missing.tries + 1 >= SOURCE_GONE_AFTER:
                files.lost(tx, FileKey(missing.owner, Role.SOURCE), missing, got.message)
            return False
        length = got.probe.duration_ms
        catalog_sync.source_stored(tx, missing.video_key, sha256=got.sha256, path=got.path, duration_ms=length)
        files.restored(tx, FileKey(missing.owner, Role.SOURCE), missing, "fetched again")
    return True


def _source(pipeline: Pipeline, missing: Row[Any]) -> Stored | FetchFailure:
    video = pipeline.configuration.catalogue.videos.get(missing.video_key)
    if video is not None and needs_source(video):
        return fetch_source(pipeline, video)
    with pipeline.ledger.read() as connection:
        first = queries.first_hop(connection, missing.video_key)
    if first is None or not first.parent_url:
        return FetchFailure("nothing tells where the source lies", stale_url=True)
    return fetch(pipeline, missing.account, first.parent_url, key=source_key(missing.account, first.parent_url))
