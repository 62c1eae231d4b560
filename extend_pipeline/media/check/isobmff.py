"""The boxes of an ISO base media file (ISO/IEC 14496-12): where each starts and ends, and whether they add up.

Only sizes and names; what the boxes of a movie mean is `movie.py`'s. Everything here is bounded, because the file may
be hostile: no recursion (callers descend into the boxes they know, to a fixed depth), a fixed number of boxes, and no
read beyond a header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_BOXES: Final = 50_000  # two a fragment: a 180 s film in fragments of 40 ms has 9,000
_HEADER: Final = 8
_LARGE_HEADER: Final = 16


class StructureError(ValueError):
    """The boxes contradict themselves or the file; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box. `start`, `body` and `end` are byte offsets into what was walked; `end` is exclusive."""

    kind: bytes
    start: int
    body: int
    end: int

    @property
    def name(self) -> str:
        """Return the four-character code, printable."""
        return printable(self.kind)


def printable(kind: bytes) -> str:
    """Return bytes of a box's name as text that can be shown."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in kind)


def walk_file(file: BinaryIO, size: int) -> list[Box]:
    """Return the top-level boxes of a file of `size` bytes, in order. They cover it exactly, or StructureError is
    raised."""
    boxes: list[Box] = []
    at = 0
    while at < size:
        if len(boxes) == MAX_BOXES:
            raise StructureError(f"the file has more than {MAX_BOXES:,} parts at its top level")
        file.seek(at)
        box = _box(file.read(_LARGE_HEADER), at=at, limit=size)
        boxes.append(box)
        at = box.end
    return boxes


def walk(data: bytes, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes directly within `data[start:end]`; their offsets are into `data`. Raises StructureError."""
    at = start
    count = 0
    while at < end:
        if count == MAX_BOXES:
            raise StructureError(f"a part of the header has more than {MAX_BOXES:,} parts of its own")
        box = _box(data[at : min(at + _LARGE_HEADER, end)], at=at, limit=end)
        yield box
        count += 1
        at = box.end


def find(data: bytes, outer: Box, kind: bytes) -> Box | None:
    """Return the first box of that kind directly within `outer`."""
    return next((box for box in walk(data, outer.body, outer.end) if box.kind == kind), None)


def need(data: bytes, outer: Box, kind: bytes) -> Box:
    """As `find`, but StructureError where there is none."""
    box = find(data, outer, kind)
    if box is None:
        raise StructureError(f"the header's part {outer.name!r} has no {printable(kind)!r}")
    return box


def _box(head: bytes, *, at: int, limit: int) -> Box:
    """Return the box whose header `head` was read at offset `at`, where its surroundings end at `limit`."""
    if len(head) < _HEADER:
        raise StructureError(f"{limit - at} stray bytes follow the last part, at byte {at:,}")
    size, kind = struct.unpack_from(">I4s", head)
    header = _HEADER
    if size == 1:
        if len(head) < _LARGE_HEADER:
            raise StructureError(f"the part {printable(kind)!r} at byte {at:,} ends within its own size")
        (size,) = struct.unpack_from(">Q", head, _HEADER)
        header = _LARGE_HEADER
    elif size == 0:
        size = limit - at  # "to the end": so nothing can follow it, and it is the last by itself
    if size < header:
        raise StructureError(f"the part {printable(kind)!r} at byte {at:,} says it is only {size} bytes long")
    if at + size > limit:
        raise StructureError(
            f"the part {printable(kind)!r} should end at byte {at + size:,}, but there are only {limit:,}: "
            f"{at + size - limit:,} bytes are missing"
        )
    return Box(kind, at, at + header, at + size)
