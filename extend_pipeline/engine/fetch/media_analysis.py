"""Looks at a fetched result: full film or new part only, how well it continues its parent, and the poster strip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from extend_pipeline.engine.fetch.fetch import fetch, source_key
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import catalog_sync, files, transitions
from extend_pipeline.media.check.probe import Probe
from extend_pipeline.media.classify import OutputKind, recognise
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.join.assemble import Film, Unassembled, assemble
from extend_pipeline.media.libav import PictureError
from extend_pipeline.media.seam import Seam
from extend_pipeline.media.store import Stored
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
        """The columns of the `attempt_stored` event that come from looking."""
        film = self.film
        return {
            "output_kind": self.kind,
            "seam_psnr_centi_db": self.seam_centi_db,
            "parent_is_prefix": self.parent_is_prefix,
            "poster_path": self.poster_path,
            "film_sha256": None if film is None else film.sha256,
            "film_path": None if film is None else film.relative_path,
            "film_duration_ms": None if film is None else film.probe.duration_ms,
            "film_note": self.film_note,
        }


def file_columns(got: Stored) -> dict[str, object]:
    """Return the columns of an attempt that tell of its stored file."""
    return {
        "sha256": got.sha256,
        "path": got.relative_path,
        "bytes": got.bytes,
        "width": got.probe.width,
        "height": got.probe.height,
        "codec": got.probe.codec,
        "probed_duration_ms": got.probe.duration_ms,
    }


def analyse(pipeline: Pipeline, row: Row[Any], got: Stored) -> MediaAnalysis:
    """Compare a stored result with its parent, and make the film where only the new part came. A picture or a film that
    can't be made never keeps a paid file from being stored. CouldNotProbe where this machine is what fails."""
    result = pipeline.store.path_of(got.relative_path)
    before = parent_file(pipeline, row)
    parent = before.path
    seam = None if parent is None else isolated_probe.measure_seam(parent=parent, result=result)
    kind = _kind(pipeline, row, got.probe.duration_ms, seam)
    segment = kind is OutputKind.SEGMENT
    poster_path = _put_poster(pipeline, row, got, parent, segment=segment)
    psnr = None if seam is None or seam.psnr_db is None else round(seam.psnr_db * 100)
    prefix = None if seam is None else seam.parent_is_prefix
    film, note = _film(pipeline, parent, result) if segment else (None, None)
    waits = segment and before.missing
    return MediaAnalysis(kind.value, psnr, prefix, poster_path, film, note, film_waits=waits)


def put_poster(pipeline: Pipeline, row: Row[Any], got: Stored) -> str | None:
    """Make the poster of a stored attempt's file again; None where it has no pictures for one."""
    parent = parent_file(pipeline, row).path
    return _put_poster(pipeline, row, got, parent, segment=row.output_kind == OutputKind.SEGMENT.value)


def _put_poster(pipeline: Pipeline, row: Row[Any], got: Stored, parent: Path | None, *, segment: bool) -> str | None:
    result = pipeline.store.path_of(got.relative_path)
    try:
        poster = isolated_probe.make_poster(
            parent=parent, result=result, parent_ms=row.parent_duration_ms, segment=segment
        )
    except PictureError:
        return None
    return pipeline.store.put_poster(got.sha256, poster)


def _kind(pipeline: Pipeline, row: Row[Any], probed_ms: int, seam: Seam | None) -> OutputKind:
    """What the account says that its files are, else what the file itself shows."""
    said = said_kind(pipeline, row.account)
    return said or recognise(
        parent_ms=row.parent_duration_ms, probed_ms=probed_ms, seam=seam, longest_added_ms=longest_added_ms()
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
    for row in rows:
        got = Stored(row.sha256, row.bytes, row.path, probe_of(row))
        try:
            seen = analyse(pipeline, row, got)
        except isolated_probe.ProbeUnavailable:
            continue  # another round will look
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            transitions.examined(tx, row.attempt_id, seen.columns())
        looked_at.append(f"{row.video_key}/{row.hop}")
    return looked_at


def probe_of(row: Row[Any]) -> Probe:
    """What a stored attempt's row knows of its file."""
    return Probe(row.probed_duration_ms, row.width, row.height, row.codec, frames=0, fps=None, has_audio=False)


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
        case Unassembled(reason):
            return None, f"the film was not assembled: {reason}"


@dataclass(frozen=True, slots=True)
class ParentFile:
    """The file that a result continues. `missing`: the ledger knows of one, and it is not in the store now."""

    path: Path | None
    missing: bool = False


def parent_file(pipeline: Pipeline, row: Row[Any]) -> ParentFile:
    """The file of the hop before; for a first hop a copy of the source, which is fetched once if the provider tells
    where it is: it costs nothing, and upstream forgets it after 30 days."""
    gone = False
    with pipeline.ledger.read() as connection:
        if row.parent_attempt_id is not None:
            before = queries.attempt(connection, row.parent_attempt_id)
            relative = (before.film_path or before.path) if before is not None else None
            gone = row.parent_attempt_id in files.without_file(connection)
        else:
            known = queries.videos(connection, keys=[row.video_key])
            relative = known[0].source_path if known else None
    if relative is None and row.parent_attempt_id is None and row.parent_url:
        got = fetch(pipeline, row.account, row.parent_url, key=source_key(row.account, row.parent_url))
        if isinstance(got, Stored):
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                catalog_sync.source_stored(
                    tx,
                    row.video_key,
                    sha256=got.sha256,
                    path=got.relative_path,
                    duration_ms=got.probe.duration_ms,
                )
            relative = got.relative_path
    if relative is None:
        return ParentFile(None)
    path = pipeline.store.path_of(relative)
    there = path.is_file() and not gone
    return ParentFile(path) if there else ParentFile(None, missing=True)
