"""Assembly of the full-length film from a parent and a segment (docs/architecture.md, "Four providers, one
planner")."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from extend_pipeline.media.check.probe import InvalidFile, Probe
from extend_pipeline.media.join import film
from extend_pipeline.media.join.film import Joined
from extend_pipeline.media.store import MediaStore, Stored


@dataclass(frozen=True, slots=True)
class Film:
    """The assembled film. `lossless`: every packet of video and audio was copied. `note` describes how it was made."""

    stored: Stored
    lossless: bool
    note: str


class Join(Protocol):
    """The function that writes a film: `film.join`, or `isolated_probe.join` if the parts come from outside."""

    def __call__(self, *, parent: Path, segment: Path, out: Path, max_bytes: int) -> Joined | InvalidFile:
        """Write the film to `out`."""
        ...


def assemble(
    *,
    parent: Path,
    segment: Path,
    store: MediaStore,
    max_bytes: int,
    join: Join = film.join,
) -> Film | InvalidFile:
    """Join a parent film and the segment that continues it, and store the film; the same inputs give the same film.

    Returns InvalidFile if one of both can't be read whole, or the film would exceed `max_bytes`. Raises OSError, and
    leaves no file then; content never raises.
    """
    joined: list[Joined] = []

    def write(out: Path) -> Probe | InvalidFile:
        result = join(parent=parent, segment=segment, out=out, max_bytes=max_bytes)
        if isinstance(result, InvalidFile):
            return result
        joined.append(result)
        return result.probe

    stored = store.build(write, max_bytes=max_bytes)
    if isinstance(stored, InvalidFile):
        return stored
    return Film(stored, joined[-1].lossless, joined[-1].note)
