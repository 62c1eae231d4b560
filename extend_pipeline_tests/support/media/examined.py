"""Single figures of an examined result."""

from __future__ import annotations

from pathlib import Path

from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import POSTER_BYTES, Examined, ResultContext, examine
from extend_pipeline.media.analysis.seam import Seam
from extend_pipeline.media.check.probe import Probe, ValidFile, check_file


def probe_of(path: Path) -> Probe:
    """Return what a whole film holds."""
    checked = check_file(path)
    assert isinstance(checked, ValidFile), checked
    return checked.probe


def seam_of(*, parent: Path, result: Path) -> Seam:
    """Return the seam of a valid result."""
    examined = examine(result, ResultContext(parent=parent, kind=OutputKind.FULL))
    assert isinstance(examined, Examined), examined
    assert examined.seam is not None
    return examined.seam


def poster_of(
    *, parent: Path | None, result: Path, parent_ms: int | None, max_bytes: int = POSTER_BYTES, segment: bool = False
) -> bytes:
    """Return the poster of a valid result that has one."""
    kind = OutputKind.SEGMENT if segment else OutputKind.FULL
    examined = examine(result, ResultContext(parent=parent, parent_ms=parent_ms, kind=kind, poster_bytes=max_bytes))
    assert isinstance(examined, Examined), examined
    assert examined.poster is not None
    return examined.poster
