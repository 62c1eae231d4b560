"""The sampled frames of a film in a file, so that the film is not decoded again when its next hop comes.

The file may be lost at any time, or damaged: then the film itself is decoded. It holds one line of JSON and the Y, U
and V samples of each frame, uncompressed, because the comparison needs them exactly.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.base.private import make_private_folder
from extend_pipeline.media.analysis.seam import LAST_FRAMES, SAMPLED_AT, ParentFrames, samples
from extend_pipeline.media.check.probe import MAX_SIDE, MIN_SIDE
from extend_pipeline.media.upright import frame_of, planes_of

if TYPE_CHECKING:
    import numpy as np

MAX_FILE_BYTES: Final = 128 << 20  # nine frames of 3840 × 2160 have 112 MB; larger films are decoded again
MAX_FILES: Final = 256  # of films whose next hop is awaited; those that come when all are taken are decoded again
KEPT_S: Final = 3 * 24 * 3600.0  # the next hop takes minutes; a video that waits longer is decoded again
_SUFFIX: Final = ".frames"
_MAX_FRAMES: Final = LAST_FRAMES + len(SAMPLED_AT)
_MAX_HEADER: Final = 4_096  # bytes


class KeptFrames:
    """The files of sampled frames in a folder of this machine, one for each film, named by the film's sha256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, sha256: str) -> Path | None:
        """Return a film's file, None if there is none."""
        path = self._folder / f"{sha256}{_SUFFIX}"
        return path if path.is_file() else None

    @contextmanager
    def new(self) -> Iterator[Path | None]:
        """Yield the path of an empty file to write to, and remove it afterwards unless it was kept; None if there are
        MAX_FILES, or the disk takes none."""
        path = None
        with contextlib.suppress(OSError):
            make_private_folder(self._folder)
            if sum(1 for _ in self._folder.iterdir()) < MAX_FILES:
                descriptor, name = tempfile.mkstemp(suffix=".part", dir=self._folder)
                os.close(descriptor)
                path = Path(name)
        try:
            yield path
        finally:
            if path is not None:
                path.unlink(missing_ok=True)

    def keep(self, written: Path, sha256: str) -> None:
        """Keep a written file for a film."""
        with contextlib.suppress(OSError):
            written.replace(self._folder / f"{sha256}{_SUFFIX}")

    def forget(self, sha256: str) -> None:
        """Remove a film's file, because its next hop is stored."""
        with contextlib.suppress(OSError):
            (self._folder / f"{sha256}{_SUFFIX}").unlink(missing_ok=True)

    def sweep(self, *, now: float) -> None:
        """Remove the files that were written more than KEPT_S before `now` (seconds since 1970)."""
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                if now - path.stat().st_mtime > KEPT_S:
                    path.unlink(missing_ok=True)


def write_frames(path: Path, kept: ParentFrames) -> bool:
    """Write the sampled frames; return False if they can't be kept exactly, or are too large, or the disk takes
    none."""
    frames = list(kept.frames.values())
    end = kept.end
    if end is None or not kept.is_whole:
        return False
    width, height = end.width, end.height
    if any((frame.format.name, frame.width, frame.height) != ("yuv420p", width, height) for frame in frames):
        return False
    if width % 2 or height % 2 or len(frames) * _frame_bytes(width, height) + _MAX_HEADER > MAX_FILE_BYTES:
        return False
    raw = [samples(frame, frame) for frame in frames]
    header = {
        "width": width,
        "height": height,
        "colorspace": int(end.colorspace),
        "color_range": int(end.color_range),
        "at_s": list(kept.at_s),
        "last": kept.last,
        "interval_s": kept.interval_s,
        "crc32": _checksum(raw),
    }
    try:
        with path.open("wb") as file:
            file.write(json.dumps(header).encode("ascii") + b"\n")
            for one in raw:
                file.write(one.data)
    except OSError:
        return False
    return True


def read_frames(path: Path) -> ParentFrames | None:
    """Return the frames of a file; None if it is missing or damaged."""
    import numpy as np

    try:
        with path.open("rb") as file:
            header = _header(json.loads(file.readline(_MAX_HEADER)))
            if header is None:
                return None
            width, height, at_s = header["width"], header["height"], header["at_s"]
            size = _frame_bytes(width, height)
            data = file.read(size * len(at_s) + 1)
    except (OSError, ValueError, RecursionError):
        return None
    if len(data) != size * len(at_s):
        return None
    raw = np.frombuffer(data, dtype=np.uint8).reshape(len(at_s), height * 3 // 2, width)
    if _checksum(raw) != header["crc32"]:
        return None
    frames = {}
    for instant, one in zip(at_s, raw, strict=True):
        frame = frame_of(planes_of(one))
        frame.colorspace, frame.color_range = header["colorspace"], header["color_range"]
        frames[instant] = frame
    return ParentFrames(at_s, header["last"], header["interval_s"], frames)


def _header(header: Any) -> dict[str, Any] | None:
    """Return a valid header, None for any other value: the file was written by a process that reads films from
    outside."""
    match header:
        case {
            "width": int(width),
            "height": int(height),
            "colorspace": int(colorspace),
            "color_range": int(color_range),
            "at_s": list(at_s),
            "last": int(last),
            "interval_s": float(interval_s),
            "crc32": int(),
        } if (
            all(MIN_SIDE <= side <= MAX_SIDE and side % 2 == 0 for side in (width, height))
            and all(0 <= value < 256 for value in (colorspace, color_range))
            and 1 <= last <= len(at_s) <= _MAX_FRAMES
            and all(isinstance(instant, float) and math.isfinite(instant) for instant in (*at_s, interval_s))
            and sorted(set(at_s)) == at_s
        ):
            return dict(header)
        case _:
            return None


def _frame_bytes(width: int, height: int) -> int:
    return width * height * 3 // 2


def _checksum(raw: Iterable[np.ndarray]) -> int:
    checksum = 0
    for one in raw:
        checksum = zlib.crc32(one.data, checksum)
    return checksum
