"""Looks at a fetched result: full film or new part only, how well it continues its parent, and the poster strip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from extend_pipeline.engine.fetch import fetch
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.ledger import declare, reads
from extend_pipeline.media.kind import OutputKind, recognise
from extend_pipeline.media.libav import PictureError
from extend_pipeline.media.poster import make_poster
from extend_pipeline.media.seam import measure_seam
from extend_pipeline.media.store import Stored


@dataclass(frozen=True, slots=True)
class Examined:
    """What was seen, as the ledger keeps it. The seam is in hundredths of a decibel; None where the parent's file is
    not to be had."""

    kind: str
    seam_centi_db: int | None
    parent_is_prefix: bool | None
    poster_path: str | None


def examine(pipeline: Pipeline, row: Row[Any], got: Stored) -> Examined:
    """Compare a stored result with its parent. A picture that can't be made never keeps a paid film from being
    stored."""
    result = pipeline.store.path_of(got.relative_path)
    parent = _parent_file(pipeline, row)
    seam = None if parent is None else measure_seam(parent=parent, result=result)
    kind = recognise(parent_ms=row.parent_duration_ms, probed_ms=got.probe.duration_ms, seam=seam)
    segment = kind is OutputKind.SEGMENT
    try:
        poster = make_poster(parent=parent, result=result, parent_ms=row.parent_duration_ms, segment=segment)
        poster_path = pipeline.store.put_poster(got.sha256, poster)
    except PictureError:
        poster_path = None
    psnr = None if seam is None or seam.psnr_db is None else round(seam.psnr_db * 100)
    return Examined(kind.value, psnr, None if seam is None else seam.parent_is_prefix, poster_path)


def _parent_file(pipeline: Pipeline, row: Row[Any]) -> Path | None:
    """The file of the hop before; for a first hop a copy of the source, which is fetched once if the provider tells
    where it is: it costs nothing, and upstream forgets it after 30 days."""
    with pipeline.ledger.read() as connection:
        if row.parent_attempt_id is not None:
            before = reads.attempt(connection, row.parent_attempt_id)
            relative = before.path if before is not None else None
        else:
            known = reads.videos(connection, keys=[row.video_key])
            relative = known[0].source_path if known else None
    if relative is None and row.parent_attempt_id is None and row.parent_url:
        got = fetch(pipeline, row.account, row.parent_url)
        if isinstance(got, Stored):
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                declare.source_stored(tx, row.video_key, sha256=got.sha256, path=got.relative_path)
            relative = got.relative_path
    if relative is None:
        return None
    path = pipeline.store.path_of(relative)
    return path if path.exists() else None
