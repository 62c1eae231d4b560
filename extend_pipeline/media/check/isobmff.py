"""The boxes of an ISO base media file (ISO/IEC 14496-12): where each starts and ends, and whether the sizes add up.

Only sizes and names; `movie.py` reads the contents. All work is bounded, because the file may be hostile: no recursion
(callers descend into known boxes, to a fixed depth), a maximal number of boxes, and no read beyond a header.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

MAX_BOXES: Final = 50_000  # two per fragment: a 180 s film in fragments of 40 ms has 9,000
_HEADER: Final = 8
_LARGE_HEADER: Final = 16


class StructureError(ValueError):
    """The boxes contradict each other or the file; the message is a sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Box:
    """One box. `start`, `body` and `end` are byte offsets into the walked file or bytes; `end` is exclusive."""

    kind: bytes
    start: int
    body: int
    end: int

    @property
    def name(self) -> str:
        """Return the four-character code as printable text."""
        return printable(self.kind)


def printable(kind: bytes) -> str:
    """Return a four-character code as printable text."""
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in kind)


def walk_file(file: BinaryIO, size: int) -> list[Box]:
    """Return the top-level boxes of a file of `size` bytes, in order. Raises StructureError unless they cover it
    exactly."""
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
    """Yield the boxes directly within `data[start:end]`, with offsets into `data`. Raises StructureError."""
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
    """Return the first box of a kind directly within `outer`, None if there is none."""
    return next((box for box in walk(data, outer.body, outer.end) if box.kind == kind), None)


def need(data: bytes, outer: Box, kind: bytes) -> Box:
    """Return the first box of a kind directly within `outer`. Raises StructureError if there is none."""
    box = find(data, outer, kind)
    if box is None:
        raise StructureError(f"the header's part {outer.name!r} has no {printable(kind)!r}")
    return box


def _box(head: bytes, *, at: int, limit: int) -> Box:
    """Return the box whose header `head` was read at offset `at`; its container ends at `limit`."""
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
        size = limit - at  # it extends to the end, so it is the last box
    if size < header:
        raise StructureError(f"the part {printable(kind)!r} at byte {at:,} says it is only {size} bytes long")
    if at + size > limit:
        raise StructureError(
            f"the part {printable(kind)!r} should end at byte {at + size:,}, but there are only {limit:,}: "
            f"{at + size - limit:,} bytes are missing"
        )
    return Box(kind, at, at + header, at + size)
