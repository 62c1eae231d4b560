"""One track's sample table (`stbl`): how many samples it lists, and whether all of them lie within the file.

This detects a faststart file that was cut: its header, at the front, is whole and still claims every frame.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from extend_pipeline.media.check.isobmff import Box, StructureError, find, need

MAX_VIDEO_SAMPLES: Final = 1_000_000  # 180 s at 60 frames a second are 10,800
MAX_OTHER_SAMPLES: Final = 50_000_000  # uncompressed audio counts every sample: 180 s at 48 kHz are 8.6 million


def bound_samples(samples: int, handler: str) -> None:
    """Raise StructureError if a track claims more samples than any film has, because libav would allocate for them."""
    limit = MAX_VIDEO_SAMPLES if handler == "vide" else MAX_OTHER_SAMPLES
    if samples > limit:
        raise StructureError(f"a track claims {samples:,} samples; {limit:,} is the most allowed")


def count_samples(data: bytes, stbl: Box, *, size: int, handler: str) -> int:
    """Return how many samples the table lists. Raises StructureError if one lies beyond the end of the file, or if
    tables disagree."""
    sizes, constant, count = _sizes(data, stbl)
    bound_samples(count, handler)
    for kind in (b"stts", b"ctts"):
        if (box := find(data, stbl, kind)) is not None:
            bound_samples(sum(_table(data, box, ">II")[0::2]), handler)  # libav expands these runs in memory
    if count == 0:
        return 0
    chunks = _chunks(data, stbl)
    runs = _table(data, need(data, stbl, b"stsc"), ">III")
    ends = [0, *accumulate(sizes)] if sizes is not None else None
    first, run, missing = 0, 0, 0
    for number, offset in enumerate(chunks, start=1):
        while run + 3 < len(runs) and runs[run + 3] <= number:
            run += 3
        last = min(first + (runs[run + 1] if runs else 0), count)
        length = ends[last] - ends[first] if ends is not None else (last - first) * constant
        missing += last - first if offset + length > size else 0
        first = last
    if missing:
        raise StructureError(f"up to {missing:,} of {count:,} samples lie beyond the end of the file: it was cut short")
    if first < count:
        raise StructureError(f"the header lists {count:,} samples but says where only {first:,} of them are")
    return count


def _sizes(data: bytes, stbl: Box) -> tuple[Sequence[int] | None, int, int]:
    """Return sample sizes (None if all are alike), the constant size, and the count, from `stsz` or `stz2`."""
    if (box := find(data, stbl, b"stsz")) is not None:
        constant, count = struct.unpack_from(">II", data, box.body + 4)
        if constant:
            return None, constant, count
        return _unpack(data, box.body + 12, box.end, "I", count), 0, count
    box = need(data, stbl, b"stz2")
    bits, count = struct.unpack_from(">xxxBI", data, box.body + 4)
    if bits == 4:
        packed = _unpack(data, box.body + 12, box.end, "B", (count + 1) // 2)
        return [nibble for byte in packed for nibble in (byte >> 4, byte & 15)][:count], 0, count
    if bits not in (8, 16):
        raise StructureError(f"the sample sizes are {bits} bits wide; 4, 8 or 16 are allowed")
    return _unpack(data, box.body + 12, box.end, "B" if bits == 8 else "H", count), 0, count


def _chunks(data: bytes, stbl: Box) -> Sequence[int]:
    box = find(data, stbl, b"co64")
    code = "Q"
    if box is None:
        box, code = need(data, stbl, b"stco"), "I"
    (count,) = struct.unpack_from(">I", data, box.body + 4)
    return _unpack(data, box.body + 8, box.end, code, count)


def _table(data: bytes, box: Box, row: str) -> Sequence[int]:
    """Return the rows of a counted table as one flat sequence."""
    (count,) = struct.unpack_from(">I", data, box.body + 4)
    return _unpack(data, box.body + 8, box.end, row[1], count * (len(row) - 1))


def _unpack(data: bytes, start: int, end: int, code: str, count: int) -> Sequence[int]:
    """Return `count` big-endian numbers. Checks them against the box first, because unpacking allocates memory."""
    if start + count * struct.calcsize(f">{code}") > end:
        raise StructureError(f"a table in the header says it has {count:,} entries, but it is too small for them")
    return struct.unpack_from(f">{count}{code}", data, start)
