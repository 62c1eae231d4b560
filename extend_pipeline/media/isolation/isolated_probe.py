"""Checks of films from outside in a process with limited memory, CPU time and file size.

The functions are those of `probe.py`, `examine.py` and `film.py`, run by a worker of `pool.py`. A worker's
results are validated as untrusted input, because a film that exploits a decoder controls them.
"""

import base64
import binascii
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from extend_pipeline.media.analysis.examine import Examined, ResultContext
from extend_pipeline.media.analysis.kept_frames import MAX_FILE_BYTES
from extend_pipeline.media.analysis.seam import IDENTICAL_DB, UNMEASURED, Seam
from extend_pipeline.media.check.probe import InvalidFile, Probe, ValidFile, is_plausible
from extend_pipeline.media.isolation.pool import FileCrashedWorker, ProbeUnavailable, WorkerPool, shared_pool
from extend_pipeline.media.isolation.rlimits import Bounds
from extend_pipeline.media.join.film import Joined

__all__ = ["ProbeUnavailable", "check_file", "examine", "join"]

READ: Final = Bounds(file_bytes=MAX_FILE_BYTES)
# Some frames need the film decoded from its start; a minute of 4K takes about one minute of CPU time.
FRAMES_CPU_S: Final = 300.0
# Encoding a film of 180 s again takes some minutes.
WRITE: Final = Bounds(cpu_s=1_800.0, memory_bytes=3 << 30)

_MAX_REASON: Final = 400  # characters
_NUMBERS: Final = ("duration_ms", "width", "height", "frames")  # Python counts true as a number too
_INVALID_MESSAGE: Final = "the process that reads it sent an invalid message"


def check_file(path: Path, *, workers: WorkerPool | None = None) -> ValidFile | InvalidFile:
    """Run `probe.check_file` in a worker. Raises ProbeUnavailable, OSError."""
    try:
        return _check_result((workers or shared_pool(READ)).run({"do": "check", "path": _absolute(path)}))
    except FileCrashedWorker as error:
        return InvalidFile(str(error))


def examine(path: Path, context: ResultContext, *, workers: WorkerPool | None = None) -> Examined | InvalidFile:
    """Run `examine.examine` in a worker. A whole file that ends two workers is examined without writing a film, and if
    its frames end them, without these. Raises ProbeUnavailable, OSError."""
    values = {field.name: getattr(context, field.name) for field in fields(context)}
    task = {name: str(value.absolute()) if isinstance(value, Path) else value for name, value in values.items()}
    try:
        result = (workers or shared_pool(READ)).run(
            {"do": "examine", "path": _absolute(path), **task}, cpu_s=FRAMES_CPU_S
        )
    except FileCrashedWorker:
        if context.film is not None:
            return examine(path, replace(context, film=None), workers=workers)
        # its packets alone decide whether a paid film is stored
        checked = check_file(path, workers=workers)
        if isinstance(checked, InvalidFile):
            return checked
        return Examined(checked.probe, seam=None if context.parent is None else UNMEASURED)
    match result:
        case {"valid": valid, "seam": seam, "jpeg": jpeg, "kept": bool(kept), "film": film}:
            checked = _check_result({"valid": valid})
        case _:
            checked, seam, jpeg, kept, film = _check_result(result), None, None, False, None
    if isinstance(checked, InvalidFile):
        return checked
    return Examined(
        checked.probe,
        seam=None if context.parent is None else _seam(seam),
        poster=_jpeg(jpeg, max_bytes=context.poster_bytes),
        kept=kept,
        film=joined if isinstance(joined := _joined(film), Joined) else None,
    )


def _jpeg(text: Any, *, max_bytes: int) -> bytes | None:
    if not isinstance(text, str) or len(text) > 4 * max_bytes:
        return None
    try:
        jpeg = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return jpeg if jpeg.startswith(b"\xff\xd8\xff") and len(jpeg) <= max_bytes else None


def join(
    *, parent: Path, segment: Path, out: Path, max_bytes: int, workers: WorkerPool | None = None
) -> Joined | InvalidFile:
    """Run `film.join` in a worker, which may write files of twice `max_bytes`, because the header moves to the front at
    the end; it writes only `out`. Raises ProbeUnavailable, OSError."""
    files = {"parent": _absolute(parent), "segment": _absolute(segment), "out": _absolute(out)}
    workers = workers or shared_pool(replace(WRITE, file_bytes=2 * max_bytes + (1 << 20)))
    try:
        match workers.run({"do": "film", **files, "max_bytes": max_bytes}):
            case {"invalid": str(reason)}:
                return InvalidFile(_printable(reason))
            case {"joined": joined}:
                return _joined(joined)
            case _:
                return InvalidFile(_INVALID_MESSAGE)
    except FileCrashedWorker as error:
        return InvalidFile(str(error))


def _joined(result: Any) -> Joined | InvalidFile:
    match result:
        case {"probe": dict(probe), "lossless": bool(lossless), "note": str(note)}:
            checked = _check_result({"valid": probe})
            if isinstance(checked, InvalidFile):
                return checked
            return Joined(checked.probe, lossless=lossless, note=_printable(note))
        case _:
            return InvalidFile(_INVALID_MESSAGE)


def _absolute(path: Path) -> str:
    return str(path.absolute())


def _printable(text: str) -> str:
    """Return at most _MAX_REASON printable characters, so that no file sends control characters to a terminal."""
    return "".join(char for char in text if char.isprintable())[:_MAX_REASON]


def _check_result(result: Any) -> ValidFile | InvalidFile:
    match result:
        case {"invalid": str(reason)} if reason and len(result) == 1:
            return InvalidFile(_printable(reason))
        case {
            "valid": {
                "duration_ms": int(duration_ms),
                "width": int(width),
                "height": int(height),
                "codec": str(codec),
                "frames": int(frames),
                "fps": None | float() as fps,
                "has_audio": bool(has_audio),
            } as fields
        } if len(result) == 1 and len(fields) == 7 and not any(isinstance(fields[name], bool) for name in _NUMBERS):
            probe = Probe(duration_ms, width, height, codec, frames, fps, has_audio)
            return ValidFile(probe) if is_plausible(probe) else InvalidFile(_INVALID_MESSAGE)
        case _:
            return InvalidFile(_INVALID_MESSAGE)


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
