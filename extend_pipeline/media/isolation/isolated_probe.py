"""Look at a film from outside in a process that is bounded in memory, computing and writing.

The functions are those of `probe.py`, `seam.py`, `poster.py` and `film.py`, run by a worker of `pool.py`. A worker's
results are read as if the film had written them, since a film that breaks a decoder does.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from extend_pipeline.media.check import probe as limits
from extend_pipeline.media.check.probe import InvalidFile, Probe, ValidFile
from extend_pipeline.media.isolation.pool import FileCrashedWorker, Prober, ProbeUnavailable, prober
from extend_pipeline.media.isolation.rlimits import Bounds
from extend_pipeline.media.join.film import Joined
from extend_pipeline.media.libav import FrameError
from extend_pipeline.media.seam import IDENTICAL_DB, UNMEASURED, Seam

__all__ = ["ProbeUnavailable", "check_file", "join", "make_poster", "measure_seam"]

READ: Final = Bounds()
# Some frames may need the film decoded from its start; a minute of 4K takes about one of computing.
FRAMES_CPU_S: Final = 300.0
# Coding a film of 180 s again takes some minutes.
WRITE: Final = Bounds(cpu_s=1_800.0, memory_bytes=3 << 30)

_MAX_REASON: Final = 400  # characters
_NUMBERS: Final = ("duration_ms", "width", "height", "frames")  # to Python, true is a number too
_NONSENSE: Final = "the process that reads it answers what makes no sense"


def check_file(path: Path, *, by: Prober | None = None) -> ValidFile | InvalidFile:
    """As `probe.check_file`, of a file that was not looked at yet. Raises ProbeUnavailable, OSError."""
    try:
        return _verdict((by or prober(READ)).run({"do": "check", "path": _written(path)}))
    except FileCrashedWorker as error:
        return InvalidFile(str(error))


def measure_seam(*, parent: Path, result: Path, by: Prober | None = None) -> Seam:
    """As `seam.measure_seam`. Raises ProbeUnavailable, OSError."""
    task = {"do": "seam", "parent": _written(parent), "result": _written(result)}
    try:
        return _seam((by or prober(READ)).run(task, cpu_s=FRAMES_CPU_S))
    except FileCrashedWorker:
        return UNMEASURED


def make_poster(
    *,
    parent: Path | None,
    result: Path,
    parent_ms: int | None,
    max_bytes: int = 10_000,
    segment: bool = False,
    by: Prober | None = None,
) -> bytes:
    """As `poster.make_poster`. Raises FrameError, ProbeUnavailable, OSError."""
    task = {
        "do": "poster",
        "parent": None if parent is None else _written(parent),
        "result": _written(result),
        "parent_ms": parent_ms,
        "max_bytes": max_bytes,
        "segment": segment,
    }
    try:
        match (by or prober(READ)).run(task, cpu_s=FRAMES_CPU_S):
            case {"jpeg": str(text)} if len(text) <= 4 * max_bytes:
                jpeg = base64.b64decode(text, validate=True)
                if jpeg.startswith(b"\xff\xd8\xff") and len(jpeg) <= max_bytes:
                    return jpeg
            case {"invalid": str(reason)}:
                raise FrameError(_sentence(reason))
            case _:
                pass
    except (FileCrashedWorker, binascii.Error) as error:
        raise FrameError(str(error)) from error
    raise FrameError(_NONSENSE)


def join(*, parent: Path, segment: Path, out: Path, max_bytes: int, by: Prober | None = None) -> Joined | InvalidFile:
    """As `film.join`. The process may write files of twice `max_bytes` (its header moves to the front at the end), and
    none is written here but `out`. Raises ProbeUnavailable, OSError."""
    task = {
        "do": "film",
        "parent": _written(parent),
        "segment": _written(segment),
        "out": _written(out),
        "max_bytes": max_bytes,
    }
    own = by or prober(replace(WRITE, file_bytes=2 * max_bytes + (1 << 20)))
    try:
        match own.run(task):
            case {"invalid": str(reason)}:
                return InvalidFile(_sentence(reason))
            case {"joined": {"lossless": bool(lossless), "note": str(note)}}:
                return Joined(lossless=lossless, note=_sentence(note))
            case _:
                return InvalidFile(_NONSENSE)
    except FileCrashedWorker as error:
        return InvalidFile(str(error))


def _written(path: Path) -> str:
    return str(path.absolute())


def _sentence(text: str) -> str:
    """Return words for a person: what can't be seen is left out, so that no file speaks to a terminal."""
    return "".join(char for char in text if char.isprintable())[:_MAX_REASON]


def _verdict(result: Any) -> ValidFile | InvalidFile:
    match result:
        case {"invalid": str(reason)} if reason and len(result) == 1:
            return InvalidFile(_sentence(reason))
        case {"valid": dict(fields)} if len(result) == 1:
            return _valid(fields)
        case _:
            return InvalidFile(_NONSENSE)


def _valid(fields: Mapping[str, Any]) -> ValidFile | InvalidFile:
    match fields:
        case {
            "duration_ms": int(duration_ms),
            "width": int(width),
            "height": int(height),
            "codec": str(codec),
            "frames": int(frames),
            "fps": None | float() as fps,
            "has_audio": bool(has_audio),
        } if len(fields) == 7 and not any(isinstance(fields[name], bool) for name in _NUMBERS):
            probe = Probe(duration_ms, width, height, codec, frames, fps, has_audio)
            return ValidFile(probe) if limits.is_possible(probe) else InvalidFile(_NONSENSE)
        case _:
            return InvalidFile(_NONSENSE)


def _seam(result: Any) -> Seam:
    match result:
        case {
            "psnr_db": None | float() as psnr_db,
            "parent_is_prefix": bool(prefix),
            "compared_frames": int(count),
            "joint_db": None | float() as joint_db,
        } if all(_is_decibels(value) for value in (psnr_db, joint_db)):
            return Seam(psnr_db, prefix, count, joint_db)
        case _:
            return UNMEASURED


def _is_decibels(value: float | None) -> bool:
    return value is None or (math.isfinite(value) and -1.0 <= value <= IDENTICAL_DB)
