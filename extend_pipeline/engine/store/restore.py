"""Restore missing files of the media store without cost: results from their providers, films from their parts, sources
from their URLs."""

import logging
import threading
from typing import Final

from extend_pipeline.engine.fetch.examiner import Examiner, put_poster
from extend_pipeline.engine.fetch.fetch import FetchFailure, fetch, record_source, source_key
from extend_pipeline.engine.fetch.media_analysis import analyse, file_columns, stored_file
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import FetchLease
from extend_pipeline.engine.submit.source_probe import fetch_source, needs_source
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import files, transitions
from extend_pipeline.ledger.write.files import FileKey, MissingFileRow, Role
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.store import MediaRef, Stored

SOURCE_GONE_AFTER: Final = 3  # tries in a row in which a source is reported as gone
_log = logging.getLogger(__name__)


def keep_restored(pipeline: Pipeline, attempt: AttemptRow, stored: Stored, examiner: Examiner) -> None:
    """Record that a result was fetched again. Different bytes replace the attempt's file, because the provider has no
    others, and are recorded as an event. Raise ProbeUnavailable where this machine can't analyse the film."""
    key = FileKey(attempt.attempt_id, Role.RESULT)
    same = stored.path == attempt.path
    message = (
        "fetched again"
        if same
        else f"the provider sent another file than before: {stored.sha256}, not {attempt.sha256}"
    )
    data: dict[str, object] = {}
    if same:
        put_poster(pipeline, stored, examiner)
    else:
        _log.warning("%s/%s: %s", attempt.video_key, attempt.hop, message)
        data = {**file_columns(stored), "poster_path": put_poster(pipeline, stored, examiner)}
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        examiner.record_source(tx)
        if data:
            account, video = attempt.account, attempt.video_key
            tx.append(
                "attempt_file_replaced", attempt_id=attempt.attempt_id, video_key=video, account=account, data=data
            )
        files.record_restored(tx, key, attempt, message)


def lose_or_wait(
    pipeline: Pipeline,
    attempt: AttemptRow,
    lease: FetchLease,
    failure: FetchFailure,
    *,
    over: bool,
    due_at: int,
    look: LastLook,
) -> bool:
    """Record that a stored result could not be fetched again: it is lost where `over`, else it is fetched again at
    `due_at` (UTC ms). Return whether it is lost."""
    stored = (AttemptState.STORED,)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        is_valid = lease.is_valid(tx)
        if is_valid and over:
            files.record_lost(tx, FileKey(attempt.attempt_id, Role.RESULT), attempt, failure.message)
            transitions.unschedule(tx, attempt.attempt_id)
        elif is_valid:
            transitions.schedule(
                tx, attempt.attempt_id, account=attempt.account, due_at=due_at, look=look, while_in=stored
            )
        return is_valid and over


def restore_parts(pipeline: Pipeline, *, stop: threading.Event | None = None) -> list[str]:
    """Assemble the missing films and fetch the missing sources; `collect` fetches results. Return VIDEO/HOP or VIDEO of
    what was restored. The cost grows with the missing files. Once `stop` is set, no further one is begun."""
    with pipeline.ledger.read() as connection:
        missing = files.found_missing(connection, states=("missing",))
        hinted = job_queue.scheduled(connection, [file.owner for file in missing if file.role is Role.RESULT])
    restored = []
    for file in missing:
        if stop is not None and stop.is_set():
            break
        now_ms = pipeline.now_ms()
        if file.role is Role.RESULT:
            if file.owner not in hinted:  # hints are not part of the events, and may be lost
                with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
                    files.fetch_again(tx, file.owner, account=file.account)
        elif schedule.restore_is_due(tries=file.tries, tried_at=file.tried_at, now_ms=now_ms):
            if file.role is Role.FILM and _assemble(pipeline, file):
                restored.append(file.where)
            if file.role is Role.SOURCE and _fetch_source(pipeline, file, stop):
                restored.append(file.video_key)
    return restored


def _assemble(pipeline: Pipeline, missing: MissingFileRow) -> bool:
    """Assemble a film again once both of its parts are there. Return whether it was assembled."""
    with pipeline.ledger.read() as connection:
        row = queries.attempt(connection, missing.owner)
        own = files.state_of_file(connection, FileKey(missing.owner, Role.RESULT))
    if row is None or own in files.OPEN or row.path is None or not pipeline.store.exists(MediaRef.parse(row.path)):
        return False
    with Examiner(pipeline, row) as examiner:
        if examiner.parent_file().ref is None:
            return False
        try:
            analysis = analyse(pipeline, row, stored_file(row), examiner)
        except (ProbeUnavailable, FileNotFoundError):
            return False  # this machine fails, or a part has gone meanwhile: the next round tries again
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            examiner.record_source(tx)
            if analysis.film is None:
                files.record_not_restored(tx, missing, analysis.film_note or "the file is no segment")
                return False
            transitions.examined(tx, row.attempt_id, analysis.columns)
            files.record_restored(tx, FileKey(missing.owner, Role.FILM), missing, "assembled again")
    return True


def _fetch_source(pipeline: Pipeline, missing: MissingFileRow, stop: threading.Event | None) -> bool:
    """Fetch the copy of a video's source again, from the URL in the catalogue or in the first hop's task."""
    if missing.account not in pipeline.accounts:
        return False
    fetched = _source(pipeline, missing, stop)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        if isinstance(fetched, FetchFailure):
            files.record_not_restored(tx, missing, fetched.message)
            if fetched.stale_url and missing.tries + 1 >= SOURCE_GONE_AFTER:
                files.record_lost(tx, FileKey(missing.owner, Role.SOURCE), missing, fetched.message)
            return False
        record_source(tx, missing.video_key, fetched)
        files.record_restored(tx, FileKey(missing.owner, Role.SOURCE), missing, "fetched again")
    return True


def _source(pipeline: Pipeline, missing: MissingFileRow, stop: threading.Event | None) -> Stored | FetchFailure:
    video = pipeline.configuration.catalogue.videos.get(missing.video_key)
    if video is not None and needs_source(video):
        return fetch_source(pipeline, video, stop=stop)
    with pipeline.ledger.read() as connection:
        first = queries.first_hop(connection, missing.video_key)
    if first is None or not first.parent_url:
        return FetchFailure("no URL of the source is known", stale_url=True)
    return fetch(pipeline, missing.account, first.parent_url, key=source_key(missing.account, first.parent_url))
