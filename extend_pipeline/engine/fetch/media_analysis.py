"""Looks at a fetched result: full film or new part only, how well it continues its parent, and the poster strip."""

from __future__ import annotations

from collections.abc import Iterator
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
    """What was seen, as the ledger keeps it. The seam is in hundredths of a decibel; None where the parent's file is
    not to be had. `film` is the full-length film that was assembled from a segment, with a note on how."""

    kind: str
    seam_centi_db: int | None
    parent_is_prefix: bool | None
    poster_path: str | None
    film: Stored | None
    film_note: str | None
    film_waits: bool = False
    """The film is not assembled yet, since the file that it continues is missing in the store for now."""

    def columns(self) -> dict[str, object]:
        """Return the columns of the `attempt_stored` event that come from looking."""
        film = self.film
        return {
            "output_kind": self.kind,
            "seam_psnr_centi_db": self.seam_centi_db,
            "parent_is_prefix": self.parent_is_prefix,
            "poster_path": self.poster_path,
            "film_sha256": None if film is None else film.sha256,
            "film_path": None if film is None else film.path,
            "film_duration_ms": None if film is None else film.probe.duration_ms,
            "film_note": self.film_note,
        }


def file_columns(got: Stored) -> dict[str, object]:
    """Return the columns of an attempt that tell of its stored file."""
    return {
        "sha256": got.sha256,
        "path": got.path,
        "bytes": got.bytes,
        "width": got.probe.width,
        "height": got.probe.height,
        "codec": got.probe.codec,
        "probed_duration_ms": got.probe.duration_ms,
    }


def analyse(pipeline: Pipeline, attempt: AttemptRow, got: Stored) -> MediaAnalysis:
    """Compare a stored result with its parent, and make the film where only the new part came. A picture or a film that
    can't be made never keeps a paid file from being stored. ProbeUnavailable where this machine is what fails."""
    before = parent_file(pipeline, attempt)
    with _opened(pipeline, before.ref, got.ref) as (parent, result):
        seam = None if parent is None else isolated_probe.measure_seam(parent=parent, result=result)
        kind = _kind(pipeline, attempt, got.probe.duration_ms, seam)
        segment = kind is OutputKind.SEGMENT
        poster_path = _put_poster(pipeline, attempt, got, parent, result, segment=segment)
        film, note = _film(pipeline, parent, result) if segment else (None, None)
    psnr = None if seam is None or seam.psnr_db is None else round(seam.psnr_db * 100)
    prefix = None if seam is None else seam.parent_is_prefix
    waits = segment and before.missing
    return MediaAnalysis(kind.value, psnr, prefix, poster_path, film, note, film_waits=waits)


def put_poster(pipeline: Pipeline, attempt: AttemptRow, got: Stored) -> str | None:
    """Make the poster of a stored attempt's file again; None where it has no pictures for one."""
    segment = attempt.output_kind == OutputKind.SEGMENT.value
    with _opened(pipeline, parent_file(pipeline, attempt).ref, got.ref) as (parent, result):
        return _put_poster(pipeline, attempt, got, parent, result, segment=segment)


@contextmanager
def _opened(pipeline: Pipeline, parent: MediaRef | None, result: MediaRef) -> Iterator[tuple[Path | None, Path]]:
    """Open a result and the file that it continues, where there is one, on this machine."""
    with ExitStack() as stack:
        before = None if parent is None else stack.enter_context(pipeline.store.local(parent))
        yield before, stack.enter_context(pipeline.store.local(result))


def _put_poster(
    pipeline: Pipeline, attempt: AttemptRow, got: Stored, parent: Path | None, result: Path, *, segment: bool
) -> str | None:
    try:
        poster = isolated_probe.make_poster(
            parent=parent, result=result, parent_ms=attempt.parent_duration_ms, segment=segment
        )
    except FrameError:
        return None
    return str(pipeline.store.put_poster(got.sha256, poster))


def _kind(pipeline: Pipeline, attempt: AttemptRow, probed_ms: int, seam: Seam | None) -> OutputKind:
    """Return what the account says that its files are, else what the file itself shows."""
    said = said_kind(pipeline, attempt.account)
    return said or classify_output(
        parent_ms=attempt.parent_duration_ms, probed_ms=probed_ms, seam=seam, longest_added_ms=longest_added_ms()
    )


def said_kind(pipeline: Pipeline, account: str) -> OutputKind | None:
    """Return what an account's files hold by its provider's documents or by accounts.yaml; None where both leave that
    to the files. A result that is documented to be full is measured all the same, for the record."""
    if spec_of(pipeline.accounts[account].provider).result_kind is ResultKind.SEGMENT:
        return OutputKind.SEGMENT
    said = OutputKind(getattr(pipeline.accounts[account], "output", OutputKind.UNKNOWN))
    return None if said is OutputKind.UNKNOWN else said


def examine_again(pipeline: Pipeline) -> list[str]:
    """Look again at stored files of unknown kind whose account has been told what they are since; answers VIDEO/HOP."""
    with pipeline.ledger.read() as connection:
        rows = queries.of_unknown_kind(connection, [name for name in pipeline.accounts if said_kind(pipeline, name)])
    looked_at = []
    for attempt in rows:
        got = stored_file(attempt)
        try:
            seen = analyse(pipeline, attempt, got)
        except isolated_probe.ProbeUnavailable:
            continue  # another round will look
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            transitions.examined(tx, attempt.attempt_id, seen.columns())
        looked_at.append(f"{attempt.video_key}/{attempt.hop}")
    return looked_at


def stored_file(attempt: AttemptRow) -> Stored:
    """Return what a stored attempt's row knows of its file."""
    assert attempt.path is not None
    assert attempt.bytes is not None
    length_ms, width, height, codec = attempt.probed_duration_ms, attempt.width, attempt.height, attempt.codec
    probe = Probe(length_ms or 0, width or 0, height or 0, codec or "", frames=0, fps=None, has_audio=False)
    return Stored(MediaRef.parse(attempt.path), attempt.bytes, probe)


def _film(pipeline: Pipeline, parent: Path | None, segment: Path) -> tuple[Stored | None, str]:
    if parent is None:
        return None, "the film was not assembled: the file that it continues is not in the store"
    made = assemble(
        parent=parent,
        segment=segment,
        store=pipeline.store,
        max_bytes=pipeline.settings.max_file_bytes,
        join=isolated_probe.join,
        check=isolated_probe.check_file,
    )
    match made:
        case Film(stored, _, note):
            return stored, note
        case InvalidFile(reason):
            return None, f"the film was not assembled: {reason}"


@dataclass(frozen=True, slots=True)
class ParentFile:
    """The file that a result continues. `missing`: the ledger knows of one, and it is not in the store now."""

    ref: MediaRef | None
    missing: bool = False


def parent_file(pipeline: Pipeline, attempt: AttemptRow) -> ParentFile:
    """Return the file of the hop before; for a first hop a copy of the source, which is fetched once if the provider
    tells where it is: it costs nothing, and upstream forgets it after 30 days."""
    gone = False
    with pipeline.ledger.read() as connection:
        if attempt.parent_attempt_id is not None:
            before = queries.attempt(connection, attempt.parent_attempt_id)
            relative = (before.film_path or before.path) if before is not None else None
            gone = attempt.parent_attempt_id in files.without_file(connection)
        else:
            known = queries.videos(connection, keys=[attempt.video_key])
            relative = known[0].source_path if known else None
    if relative is None and attempt.parent_attempt_id is None and attempt.parent_url:
        got = fetch(pipeline, attempt.account, attempt.parent_url, key=source_key(attempt.account, attempt.parent_url))
        if isinstance(got, Stored):
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                catalog_sync.source_stored(
                    tx,
                    attempt.video_key,
                    sha256=got.sha256,
                    path=got.path,
                    duration_ms=got.probe.duration_ms,
                )
            relative = got.path
    if relative is None:
        return ParentFile(None)
    ref = MediaRef.parse(relative)
    there = pipeline.store.exists(ref) and not gone
    return ParentFile(ref) if there else ParentFile(None, missing=True)
