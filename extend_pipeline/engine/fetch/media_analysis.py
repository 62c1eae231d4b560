"""Analyse a fetched result: full film or new part only, how well it continues its parent, and the poster."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from extend_pipeline.engine.fetch.examiner import Examiner, declared_kind, put_poster, stored_kind
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.write import files, transitions
from extend_pipeline.media.analysis.classify import OutputKind, classify_output
from extend_pipeline.media.analysis.seam import Seam
from extend_pipeline.media.check.probe import InvalidFile, Probe
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.join.assemble import Film, assemble
from extend_pipeline.media.store import MediaRef, Stored
from extend_pipeline.providers.registry import longest_added_ms


@dataclass(frozen=True, slots=True)
class MediaAnalysis:
    """The result of an analysis. `columns` are those of the `attempt_stored` event; the seam is in hundredths of a
    decibel, None where the parent's file is not available. `film` is the full-length film that was assembled from a
    segment, with `film_note` on how. `film_waits`: it is not assembled yet, because the file that it continues is
    missing in the store now. `parent` is the file that the result continues."""

    columns: Mapping[str, object]
    film: Stored | None
    film_note: str | None
    film_waits: bool
    parent: MediaRef | None


def file_columns(stored: Stored) -> dict[str, object]:
    """Return the columns of an attempt that describe its stored file."""
    return {
        "sha256": stored.sha256,
        "path": stored.path,
        "bytes": stored.bytes,
        "width": stored.probe.width,
        "height": stored.probe.height,
        "codec": stored.probe.codec,
        "probed_duration_ms": stored.probe.duration_ms,
    }


def analyse(pipeline: Pipeline, attempt: AttemptRow, stored: Stored, examiner: Examiner) -> MediaAnalysis:
    """Compare a stored result with its parent, and assemble the film where the result is only the new part. A poster or
    film that can't be made never prevents a paid file from being stored. `examiner` may have examined the file already.
    Raise ProbeUnavailable where this machine fails."""
    seam = examiner.look(stored).seam
    poster_path = put_poster(pipeline, stored, examiner)
    examiner.keep_frames(stored.sha256)
    before = examiner.before
    kind = _kind(pipeline, attempt, stored.probe.duration_ms, seam)
    segment = kind is OutputKind.SEGMENT
    film, note = _film(pipeline, examiner, stored.ref) if segment else (None, None)
    columns: dict[str, object] = {
        "output_kind": kind.value,
        "seam_psnr_centi_db": None if seam is None or seam.psnr_db is None else round(seam.psnr_db * 100),
        "parent_is_prefix": None if seam is None else seam.parent_is_prefix,
        "poster_path": poster_path,
        "film_sha256": None if film is None else film.sha256,
        "film_path": None if film is None else film.path,
        "film_duration_ms": None if film is None else film.probe.duration_ms,
        "film_note": note,
    }
    return MediaAnalysis(columns, film, note, segment and before.missing, before.ref)


def _kind(pipeline: Pipeline, attempt: AttemptRow, probed_ms: int, seam: Seam | None) -> OutputKind:
    """Return the kind that was found before, else the declared kind of the account's files, else the kind that the file
    shows."""
    known = stored_kind(attempt) or declared_kind(pipeline, attempt.account)
    return known or classify_output(
        parent_ms=attempt.parent_duration_ms, probed_ms=probed_ms, seam=seam, longest_added_ms=longest_added_ms()
    )


def analyse_again(pipeline: Pipeline, *, stop: threading.Event | None = None) -> list[str]:
    """Analyse stored files of unknown kind again, once accounts.yaml declares their kind; one that is missing or
    damaged in the store is restored first. Once `stop` is set, no further one is begun. Return the keys of their
    videos, whose lengths may be others now."""
    with pipeline.ledger.read() as connection:
        rows = queries.of_unknown_kind(
            connection, [name for name in pipeline.accounts if declared_kind(pipeline, name)]
        )
        missing = files.without_file(connection) if rows else frozenset()
    analysed = []
    for attempt in rows:
        if stop is not None and stop.is_set():
            break
        stored = stored_file(attempt)
        if attempt.attempt_id in missing or not pipeline.store.exists(stored.ref):
            continue
        with Examiner(pipeline, attempt) as examiner:
            try:
                analysis = analyse(pipeline, attempt, stored, examiner)
            except (ProbeUnavailable, FileNotFoundError):
                continue  # this machine fails, or a file has gone meanwhile: the next round tries again
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                examiner.record_source(tx)
                transitions.examined(tx, attempt.attempt_id, analysis.columns)
                if analysis.film_waits:
                    files.record_not_made(tx, attempt)
        analysed.append(attempt.video_key)
    return analysed


def stored_file(attempt: AttemptRow) -> Stored:
    """Return the stored file of an attempt's row."""
    assert attempt.path is not None
    assert attempt.bytes is not None
    length_ms, width, height, codec = attempt.probed_duration_ms, attempt.width, attempt.height, attempt.codec
    probe = Probe(length_ms or 0, width or 0, height or 0, codec or "", frames=0, fps=None, has_audio=False)
    return Stored(MediaRef.parse(attempt.path), attempt.bytes, probe)


def _film(pipeline: Pipeline, examiner: Examiner, segment: MediaRef) -> tuple[Stored | None, str]:
    parent = examiner.before.ref
    if parent is None:
        return None, "the film was not assembled: the file that it continues is not in the store"
    with pipeline.store.local(parent) as before, pipeline.store.local(segment) as after:
        result = assemble(
            parent=before,
            segment=after,
            store=pipeline.store,
            max_bytes=pipeline.settings.max_file_bytes,
            join=examiner.join,
        )
    match result:
        case Film(stored, _, note):
            return stored, note
        case InvalidFile(reason):
            return None, f"the film was not assembled: {reason}"
