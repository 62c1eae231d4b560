"""Store the operator's file for a paid extension whose film could not be fetched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extend_pipeline.engine.decisions.resolve import Declined, Resolved, actor_of, newest_attempt, state_of
from extend_pipeline.engine.fetch.collect import keep_film, result_key
from extend_pipeline.engine.fetch.examiner import Examiner
from extend_pipeline.engine.guards.disk_space import require_space
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.store import Stored

_AWAITED: Final = frozenset({S.SUCCEEDED, S.RESULT_LOST, S.QUARANTINED})
_PIECE: Final = 1_000_000  # bytes


def take_file(pipeline: Pipeline, where: str, file: Path, *, who: str, why: str) -> Resolved | Declined:
    """Store a file as the film of the paid extension VIDEO/HOP, after the same checks as for a fetched one. Return
    Declined where the extension waits for no film, where the file is no valid film, or where it is another film of the
    same video. Raise OSError where the file can't be read or the media store can't be written."""
    row = newest_attempt(pipeline, where)
    if row is None or row.state not in _AWAITED:
        return Declined(f"{where} waits for no film{state_of(row)}")
    key, size = result_key(row.attempt_id), file.stat().st_size
    require_space(pipeline.store, size)
    with Examiner(pipeline, row) as examiner:
        try:
            stored = pipeline.store.ingest(
                _pieces(file),
                expected_bytes=size,
                max_bytes=pipeline.settings.max_file_bytes,
                check=examiner.check,
                wanted_for=key,
            )
        except ProbeUnavailable as error:
            return _unchecked(file, error)
        if not isinstance(stored, Stored):
            return Declined(f"{file} is no valid video: {stored.reason}")
        with pipeline.ledger.read() as connection:
            others = queries.attempts_of(connection, [row.video_key])
            videos = queries.videos(connection, keys=[row.video_key])
        known = {other.sha256: f"{other.video_key}/{other.hop}" for other in others}
        known |= {other.film_sha256: f"{other.video_key}/{other.hop}" for other in others}
        known |= {video.source_sha256: f"{video.video_key} before its first extension" for video in videos}
        if (held := known.get(stored.sha256)) is not None:
            return Declined(f"{file} is the film of {held}; nothing was changed")
        try:
            moved = keep_film(pipeline, row, stored, examiner, actor=actor_of(who, why))
        except ProbeUnavailable as error:
            return _unchecked(file, error)
    if not isinstance(moved, Moved):
        return Declined(f"{where} has changed meanwhile: it is {moved.state} now; nothing was changed, look again")
    pipeline.store.forget(key)
    return Resolved(f"{where} is stored, {stored.probe.duration_ms / 1000:g} s; the next advance goes on from it")


def _unchecked(file: Path, error: ProbeUnavailable) -> Declined:
    return Declined(f"{file} could not be checked here: {error}; try again")


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece
