"""The structure of less common containers: AVI, Flash, Ogg, Windows Media, MPEG streams.

Each walk raises StructureError if the file itself shows that bytes are missing. No walk can detect a transport or
program stream that was cut exactly between two packets, because the rest is a whole stream.
"""

import struct
from typing import BinaryIO, Final

from extend_pipeline.media.check.isobmff import StructureError

ASF_HEADER: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_MAX_STEPS: Final = 4_000_000  # pages, tags or packets
_CHUNK: Final = 1 << 20
_SYNC: Final = 0x47


def walk_avi(file: BinaryIO, size: int) -> None:
    """Walk the RIFF parts of an AVI file."""
    at = 0
    while at + 12 <= size:
        file.seek(at)
        kind, length = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF":
            return  # data that other programs append
        if length == 0:
            raise StructureError("the AVI file was never finished: its header has no length")
        at = _step(at, at + 8 + length + (length & 1), size + (length & 1))


def walk_flv(file: BinaryIO, size: int) -> None:
    """Walk the tags of a Flash video."""
    head = _read(file, 0, 9)
    (at,) = struct.unpack_from(">I", head, 5)
    at += 4
    for _ in range(_MAX_STEPS):
        if at == size:
            return
        tag = _read(file, at, 11)
        if tag[0] & 0x1F not in (8, 9, 18):
            raise StructureError(f"the file is damaged at byte {at:,}")
        at = _step(at, at + 11 + int.from_bytes(tag[1:4], "big") + 4, size)
    raise StructureError(f"the file has more than {_MAX_STEPS:,} parts")


def walk_ogg(file: BinaryIO, size: int) -> None:
    """Walk the pages of an Ogg file; each stream must have its last page and all pages before."""
    at = 0
    numbers: dict[int, int] = {}
    ended: set[int] = set()
    for _ in range(_MAX_STEPS):
        if at == size:
            if ended != set(numbers):
                raise StructureError("a stream of the file has no last page: it was cut short")
            return
        page = _read(file, at, 27)
        flags, serial, number, segments = page[5], *struct.unpack_from("<II", page, 14), page[26]
        if page[:4] != b"OggS" or number != numbers.get(serial, number - 1) + 1:
            raise StructureError(f"the file is damaged at byte {at:,}: a page is missing")
        numbers[serial] = number
        if flags & 4:
            ended.add(serial)
        at = _step(at, at + 27 + segments + sum(_read(file, at + 27, segments)), size)
    raise StructureError(f"the file has more than {_MAX_STEPS:,} parts")


def walk_asf(file: BinaryIO, size: int) -> None:
    """Compare the size in a Windows Media file's header with the file's size."""
    head = _read(file, 0, min(size, _CHUNK))
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or at + 92 > len(head):
        raise StructureError("the header of the file is not whole")
    (declared,) = struct.unpack_from("<Q", head, at + 40)
    is_broadcast = struct.unpack_from("<I", head, at + 88)[0] & 1
    if not is_broadcast and declared > size:
        raise StructureError(f"the file should have {declared:,} bytes: {declared - size:,} bytes are missing")


def ts_packet_bytes(head: bytes) -> int:
    """Return the packet size in bytes of a transport stream by the file's first bytes; 0 if the file is none."""
    for length, at in ((188, 0), (192, 4)):
        if len(head) >= length and all(byte == _SYNC for byte in head[at::length]):
            return length
    return 0


def walk_ts(file: BinaryIO, size: int) -> None:
    """Walk the packets of a transport stream, which all begin with the same byte."""
    length = ts_packet_bytes(_read(file, 0, min(size, 2_048)))
    if not length or size % length:
        raise StructureError("the last packet of the stream is not whole: the file was cut short")
    for at in range(0, size, length * 4_096):
        chunk = _read(file, at, min(length * 4_096, size - at))
        starts = chunk[length - 188 :: length]
        if starts.count(_SYNC) != len(starts):
            raise StructureError(f"the file is damaged behind byte {at:,}")


def walk_ps(file: BinaryIO, size: int) -> None:
    """Walk the packs and packets of a program stream."""
    at = 0
    for _ in range(_MAX_STEPS):
        if at == size:
            return
        head = _read(file, at, min(14, size - at))
        if head[:3] != b"\0\0\x01" or len(head) < 4:
            raise StructureError(f"the file is damaged or cut at byte {at:,}")
        if head[3] == 0xB9:
            return  # the end code
        if head[3] == 0xBA and len(head) >= 12:
            length = 12 if head[4] >> 6 != 1 else 14 + (head[-1] & 7)
        elif len(head) >= 6:
            length = 6 + int.from_bytes(head[4:6], "big")
        else:
            length = 14
        at = _step(at, at + length, size)
    raise StructureError(f"the file has more than {_MAX_STEPS:,} parts")


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    data = file.read(count)
    if len(data) < count:
        raise StructureError(f"the part at byte {at:,} is not whole: bytes are missing")
    return data


def _step(at: int, end: int, size: int) -> int:
    if end > size:
        raise StructureError(
            f"the part at byte {at:,} should end at byte {end:,}, but there are only {size:,}: "
            f"{end - size:,} bytes are missing"
        )
    return end
