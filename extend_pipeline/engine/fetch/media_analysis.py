"""Analyse a fetched result: full film or new part only, how well it continues its parent, and the poster."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from extend_pipeline.engine.fetch.fetch import fetch, source_key
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.write import catalog_sync, files, transitions
from extend_pipeline.media.check.probe import InvalidFile, Probe
from extend_pipeline.media.classify import OutputKind, classify_output
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.join.assemble import Film, assemble
from extend_pipeline.media.libav import FrameError
from extend_pipeline.media.seam import Seam
from extend_pipeline.media.store import MediaRef, Stored
from extend_pipeline.providers.registry import longest_added_ms, spec_of
from extend_pipeline.providers.spec import ResultKind


@dataclass(frozen=True, slots=True)
class MediaAnalysis:
    """The result of an analysis. `columns` are those of the `attempt_stored` event; the seam is in hundredths of a
    decibel, None where the parent's file is not available. `film` is the full-length film that was assembled from a
    segment, with `film_note` on how. `film_waits`: it is not assembled yet, because the file that it continues is
    missing in the store now."""

    columns: Mapping[str, object]
    film: Stored | None
    film_note: str | None
    film_waits: bool


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


def analyse(pipeline: Pipeline, attempt: AttemptRow, stored: Stored) -> MediaAnalysis:
    """Compare a stored result with its parent, and assemble the film where the result is only the new part. A poster or
    film that can't be made never prevents a paid file from being stored. Raise ProbeUnavailable where this machine
    fails."""
    before = parent_file(pipeline, attempt)
    with _opened(pipeline, before.ref, stored.ref) as (parent, result):
        seam = None if parent is None else isolated_probe.measure_seam(parent=parent, result=result)
        kind = _kind(pipeline, attempt, stored.probe.duration_ms, seam)
        segment = kind is OutputKind.SEGMENT
        poster_path = _put_poster(pipeline, attempt, stored, parent, result, segment=segment)
        film, note = _film(pipeline, parent, result) if segment else (None, None)
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
    return MediaAnalysis(columns, film, note, segment and before.missing)


def put_poster(pipeline: Pipeline, attempt: AttemptRow, stored: Stored) -> str | None:
    """Make the poster of a stored attempt's file again; return None where it has no video frames for one."""
    segment = attempt.output_kind == OutputKind.SEGMENT.value
    with _opened(pipeline, parent_file(pipeline, attempt).ref, stored.ref) as (parent, result):
        return _put_poster(pipeline, attempt, stored, parent, result, segment=segment)


@contextmanager
def _opened(pipeline: Pipeline, parent: MediaRef | None, result: MediaRef) -> Iterator[tuple[Path | None, Path]]:
    """Open a result and the file that it continues, where there is one, on this machine."""
    with ExitStack() as stack:
        before = None if parent is None else stack.enter_context(pipeline.store.local(parent))
        yield before, stack.enter_context(pipeline.store.local(result))


def _put_poster(
    pipeline: Pipeline, attempt: AttemptRow, stored: Stored, parent: Path | None, result: Path, *, segment: bool
) -> str | None:
    try:
        poster = isolated_probe.make_poster(
            parent=parent, result=result, parent_ms=attempt.parent_duration_ms, segment=segment
        )
    except FrameError:
        return None
    return str(pipeline.store.put_poster(stored.sha256, poster))


def _kind(pipeline: Pipeline, attempt: AttemptRow, probed_ms: int, seam: Seam | None) -> OutputKind:
    """Return the declared kind of the account's files, else the kind that the file shows."""
    declared = declared_kind(pipeline, attempt.account)
    return declared or classify_output(
        parent_ms=attempt.parent_duration_ms, probed_ms=probed_ms, seam=seam, longest_added_ms=longest_added_ms()
    )


def declared_kind(pipeline: Pipeline, account: str) -> OutputKind | None:
    """Return the kind of an account's files by its provider's documentation or by accounts.yaml; None where both leave
    it open. A result that is documented as full is measured nevertheless, for the record."""
    if spec_of(pipeline.accounts[account].provider).result_kind is ResultKind.SEGMENT:
        return OutputKind.SEGMENT
    kind = OutputKind(getattr(pipeline.accounts[account], "output", OutputKind.UNKNOWN))
    return None if kind is OutputKind.UNKNOWN else kind


def analyse_again(pipeline: Pipeline) -> list[str]:
    """Analyse stored files of unknown kind again, once accounts.yaml declares their kind. Return the keys of their
    videos, whose lengths may be others now."""
    with pipeline.ledger.read() as connection:
        rows = queries.of_unknown_kind(
            connection, [name for name in pipeline.accounts if declared_kind(pipeline, name)]
        )
    analysed = []
    for attempt in rows:
        stored = stored_file(attempt)
        try:
            analysis = analyse(pipeline, attempt, stored)
        except isolated_probe.ProbeUnavailable:
            continue  # the next round tries again
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            transitions.examined(tx, attempt.attempt_id, analysis.columns)
        analysed.append(attempt.video_key)
    return analysed


def stored_file(attempt: AttemptRow) -> Stored:
    """Return the stored file of an attempt's row."""
    assert attempt.path is not None
    assert attempt.bytes is not None
    length_ms, width, height, codec = attempt.probed_duration_ms, attempt.width, attempt.height, attempt.codec
    probe = Probe(length_ms or 0, width or 0, height or 0, codec or "", frames=0, fps=None, has_audio=False)
    return Stored(MediaRef.parse(attempt.path), attempt.bytes, probe)


def _film(pipeline: Pipeline, parent: Path | None, segment: Path) -> tuple[Stored | None, str]:
    if parent is None:
        return None, "the film was not assembled: the file that it continues is not in the store"
    result = assemble(
        parent=parent,
        segment=segment,
        store=pipeline.store,
        max_bytes=pipeline.settings.max_file_bytes,
        join=isolated_probe.join,
        check=isolated_probe.check_file,
    )
    match result:
        case Film(stored, _, note):
            return stored, note
        case InvalidFile(reason):
            return None, f"the film was not assembled: {reason}"


@dataclass(frozen=True, slots=True)
class ParentFile:
    """The file that a result continues. `missing`: the ledger has one that is not in the store now."""

    ref: MediaRef | None
    missing: bool = False


def parent_file(pipeline: Pipeline, attempt: AttemptRow) -> ParentFile:
    """Return the file of the previous hop; for a first hop a copy of the source. The copy is fetched once if the
    provider gives its URL, because the provider deletes it after 30 days."""
    is_missing = False
    with pipeline.ledger.read() as connection:
        if attempt.parent_attempt_id is not None:
            before = queries.attempt(connection, attempt.parent_attempt_id)
            relative = (before.film_path or before.path) if before is not None else None
            is_missing = attempt.parent_attempt_id in files.without_file(connection)
        else:
            videos = queries.videos(connection, keys=[attempt.video_key])
            relative = videos[0].source_path if videos else None
    if relative is None and attempt.parent_attempt_id is None and attempt.parent_url:
        fetched = fetch(
            pipeline, attempt.account, attempt.parent_url, key=source_key(attempt.account, attempt.parent_url)
        )
        if isinstance(fetched, Stored):
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                catalog_sync.source_stored(
                    tx,
                    attempt.video_key,
                    sha256=fetched.sha256,
                    path=fetched.path,
                    duration_ms=fetched.probe.duration_ms,
                )
            relative = fetched.path
    if relative is None:
        return ParentFile(None)
    ref = MediaRef.parse(relative)
    exists = pipeline.store.exists(ref) and not is_missing
    return ParentFile(ref) if exists else ParentFile(None, missing=True)
