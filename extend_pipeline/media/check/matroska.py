"""The elements of a WebM or Matroska file (RFC 8794, RFC 9559), and whether they add up to the file's end.

A file that was cut still declares its full size or duration. Only ids and sizes are read, in two levels and up to a
maximal number, because the file may be hostile.
"""

from typing import BinaryIO, Final

from extend_pipeline.media.check.isobmff import StructureError

MAX_ELEMENTS: Final = 1_000_000  # blocks of video and audio together; 180 s at 60 frames a second have 20,000

_EBML: Final = 0x1A45DFA3
_SEGMENT: Final = 0x18538067
_CLUSTER: Final = 0x1F43B675
_ANYWHERE: Final = frozenset({0xEC, 0xBF})  # Void, CRC-32
_IN_SEGMENT: Final = _ANYWHERE | {
    0x114D9B74,  # SeekHead
    0x1549A966,  # Info
    0x1654AE6B,  # Tracks
    _CLUSTER,
    0x1C53BB6B,  # Cues
    0x1941A469,  # Attachments
    0x1043A770,  # Chapters
    0x1254C367,  # Tags
}
_IN_CLUSTER: Final = _ANYWHERE | {
    0xE7,  # Timestamp
    0xA3,  # SimpleBlock
    0xA0,  # BlockGroup
    0xA7,  # Position
    0xAB,  # PrevSize
    0x5854,  # SilentTracks
    0xAF,  # EncryptedBlock
}
_DOCUMENT_TYPE: Final = b"\x42\x82"


def document_type(head: bytes) -> str | None:
    """Return the DocType in the first bytes of an EBML file, None if there is none."""
    at = head.find(_DOCUMENT_TYPE)
    if at < 0 or at + 3 > len(head) or not head[at + 2] & 0x80:
        return None
    return head[at + 3 : at + 3 + (head[at + 2] & 0x7F)].rstrip(b"\0").decode("ascii", "replace")


def walk(file: BinaryIO, size: int) -> None:
    """Walk the elements of a file of `size` bytes. Raises StructureError if they end before its end or beyond it."""
    kind, body, end = _element(file, 0, size)
    if kind != _EBML or end is None:
        raise StructureError("the WebM or Matroska file does not start with a whole header")
    kind, body, end = _element(file, end, size)
    if kind != _SEGMENT:
        raise StructureError("the WebM or Matroska file has no segment after its header")
    _walk_segment(file, body, size if end is None else end)


def _walk_segment(file: BinaryIO, at: int, limit: int) -> None:
    clusters = 0
    within_cluster = False  # also in a cluster of unknown size, which ends where another part of the segment begins
    cluster_end: int | None = None
    for _ in range(MAX_ELEMENTS):
        if cluster_end is not None and at >= cluster_end:
            within_cluster, cluster_end = False, None
        if at >= limit:
            if not clusters:
                raise StructureError("there is no video in the file: it was cut short, or never finished")
            return
        kind, body, end = _element(file, at, limit if cluster_end is None else cluster_end)
        if kind == _CLUSTER and cluster_end is None:
            clusters += 1
            within_cluster, cluster_end, at = True, end, body
            continue
        allowed = _IN_CLUSTER if within_cluster else _IN_SEGMENT
        if within_cluster and cluster_end is None and kind in _IN_SEGMENT - _ANYWHERE:
            within_cluster, allowed = False, _IN_SEGMENT
        if kind not in allowed or end is None:
            raise StructureError(f"the file is damaged at byte {at:,}: an unknown part {kind:#x} begins there")
        at = end
    raise StructureError(f"the file has more than {MAX_ELEMENTS:,} parts")


def _element(file: BinaryIO, at: int, limit: int) -> tuple[int, int, int | None]:
    """Return id, start and end of the contents of the element at a byte; the end is None if it is not known."""
    file.seek(at)
    head = file.read(min(12, limit - at))
    kind, id_bytes = _number(head, at, max_bytes=4, marked=True)
    length, size_bytes = _number(head[id_bytes:], at, max_bytes=8, marked=False)
    body = at + id_bytes + size_bytes
    if length == (1 << 7 * size_bytes) - 1:
        return kind, body, None
    if body + length > limit:
        raise StructureError(
            f"the part {kind:#x} at byte {at:,} should end at byte {body + length:,}, but there are only {limit:,}: "
            f"{body + length - limit:,} bytes are missing"
        )
    return kind, body, body + length


def _number(head: bytes, at: int, *, max_bytes: int, marked: bool) -> tuple[int, int]:
    """Return a variable-length number and how many bytes it takes; `marked` keeps the length marker bit, as ids do."""
    count = 9 - head[0].bit_length() if head else 9
    if count > max_bytes:
        raise StructureError(f"the file is damaged or cut at byte {at:,}")
    if len(head) < count:
        raise StructureError(f"a part at byte {at:,} ends within its own size: bytes are missing")
    value = int.from_bytes(head[:count], "big")
    return (value if marked else value & ((1 << 7 * count) - 1)), count
