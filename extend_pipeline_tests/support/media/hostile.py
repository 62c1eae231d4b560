"""Small files that are made to harm the program that opens them, by absurd claims or absurd contents."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from extend_pipeline_tests.support.media.mp4 import make_clip


def box(kind: bytes, body: bytes = b"") -> bytes:
    """Return one box of an MP4."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isommp41")


def _patched(film: bytes, kind: bytes, at: int, form: str, *values: int) -> bytes:
    """Return the film with numbers written `at` bytes behind the name of a box."""
    data = bytearray(film)
    struct.pack_into(form, data, data.index(kind) + at, *values)
    return bytes(data)


def _sized(film: bytes, width: int, height: int) -> bytes:
    return _patched(film, b"stsd", 44, ">HH", width, height)


def _grown(film: bytes, table: bytes, at: int, rows: bytes) -> bytes:
    """Return the film with rows added to a table of its header, and all sizes and offsets adjusted."""
    data = bytearray(film)
    offsets = data.index(b"stco")
    (count,) = struct.unpack_from(">I", data, offsets + 8)
    for number in range(count):
        (offset,) = struct.unpack_from(">I", data, offsets + 12 + 4 * number)
        struct.pack_into(">I", data, offsets + 12 + 4 * number, offset + len(rows))
    for outer in (b"moov", b"trak", b"mdia", b"minf", b"stbl", table):
        place = data.index(outer) - 4
        (size,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, size + len(rows))
    begin = data.index(table) + at
    data[begin:begin] = rows
    return bytes(data)


def _many_tracks(film: bytes) -> bytes:
    data = bytearray(film)
    start = data.index(b"trak") - 4
    (size,) = struct.unpack_from(">I", data, start)
    extra = bytes(data[start : start + size]) * 2_000
    moov = data.index(b"moov") - 4
    struct.pack_into(">I", data, moov, struct.unpack_from(">I", data, moov)[0] + len(extra))
    data[start + size : start + size] = extra
    return bytes(data)


def _nested(depth: int) -> bytes:
    nest = b""
    for _ in range(depth):
        nest = box(b"moov", nest)
    return FTYP + nest + box(b"mdat", bytes(16))


def _moov(*boxes: bytes) -> bytes:
    return FTYP + box(b"moov", b"".join(boxes)) + box(b"mdat", bytes(64))


ABSURD: Mapping[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "garbage": lambda film: bytes(byte ^ 0xA5 for byte in film),
    "a play list": lambda _: b"#EXTM3U\n#EXTINF:1,\nhttp://169.254.169.254/latest/meta-data\n",
    "an SVG that names a file": lambda _: b'<svg><image href="file:///etc/passwd"/></svg>',
    "cut at 70 %": lambda film: film[: len(film) * 7 // 10],
    "cut within its header": lambda film: film[:200],
    "width and height of 65,535": lambda film: _sized(film, 65_535, 65_535),
    "no width": lambda film: _sized(film, 0, 180),
    "2^32 - 1 samples": lambda film: _patched(film, b"stsz", 12, ">I", 2**32 - 1),
    "2^32 - 1 samples of one size": lambda film: _patched(film, b"stsz", 8, ">II", 1, 2**32 - 1),
    "2^32 - 1 samples in one run of time": lambda film: _patched(film, b"stts", 12, ">I", 2**32 - 1),
    "2^32 - 1 runs of time": lambda film: _patched(film, b"stts", 8, ">I", 2**32 - 1),
    "2^32 - 1 chunks": lambda film: _patched(film, b"stco", 8, ">I", 2**32 - 1),
    "2^32 - 1 samples a chunk": lambda film: _patched(film, b"stsc", 16, ">I", 2**32 - 1),
    "2^32 - 1 sample entries": lambda film: _patched(film, b"stsd", 8, ">I", 2**32 - 1),
    "a sample of 2 GB": lambda film: _patched(film, b"stsz", 16, ">I", 2**31),
    "chunks that lie in the header": lambda film: _patched(film, b"stco", 12, ">I", 0),
    "a header of size 0": lambda film: _patched(film, b"moov", -4, ">I", 0),
    "a header of size 1 and no more": lambda film: _patched(film, b"moov", -4, ">I", 1),
    "a box of 2^63 bytes": lambda film: film + struct.pack(">I4sQ", 1, b"free", 2**63),
    "a box of 2^64 - 1 bytes": lambda film: film + struct.pack(">I4sQ", 1, b"free", 2**64 - 1),
    "a box of size 7": lambda film: film + struct.pack(">I4s", 7, b"free"),
    "60,000 boxes": lambda _: FTYP + box(b"free") * 60_000,
    "60,000 boxes in the header": lambda _: _moov(box(b"free") * 60_000),
    "boxes nested 5,000 deep": lambda _: _nested(5_000),
    "2,001 tracks": _many_tracks,
    "a clock of no ticks": lambda film: _patched(film, b"mdhd", 16, ">I", 0),
    "one tick a second": lambda film: _patched(film, b"mdhd", 16, ">I", 1),
    "frames of zeros": lambda film: film[: film.index(b"mdat") + 4] + bytes(len(film) - film.index(b"mdat") - 4),
    "parameters of 0xff": lambda film: _patched(film, b"avcC", 12, ">QQ", 2**64 - 1, 2**64 - 1),
}
"""Functions that make a file that must be refused out of a valid one, by name. None needs a limit of the system."""


def absurd(name: str, folder: Path) -> Path:
    """Write the file of that name from ABSURD and return its path."""
    film = make_clip(folder / "valid.mp4", seconds=1)
    path = folder / "hostile.mp4"
    path.write_bytes(ABSURD[name](film.read_bytes()))
    return path


def decompression_bomb(path: Path, *, side: int = 8_192, frames: int = 30) -> Path:
    """Write a valid file of some kilobytes per frame, each decoded to `side`² × 1.5 bytes, and return its path.

    Only the first frame is marked as a keyframe, so that the last one can be decoded only after all others.
    """
    import av
    import numpy as np

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as out:
        stream = out.add_stream("libx264", rate=24, options={"preset": "ultrafast", "crf": "40", "g": "1"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame.from_ndarray(np.full((side * 3 // 2, side), 128, np.uint8), format="yuv420p")
        frame.pts = 0
        (packet,) = [*stream.encode(frame), *stream.encode(None)]
        content, tick_s = bytes(packet), packet.time_base
        for number in range(frames):
            copy = av.Packet(content)
            copy.stream, copy.time_base = stream, tick_s
            copy.pts = copy.dts = round(number / 24 / tick_s)
            copy.duration = round(1 / 24 / tick_s)
            copy.is_keyframe = number == 0
            out.mux(copy)
    return path


def endless_runs(path: Path, folder: Path, *, rows: int = 2_000_000) -> Path:
    """Write a film whose header has `rows` × 8 bytes of empty runs, all different, and return its path."""
    import numpy as np

    film = make_clip(folder / "valid.mp4", seconds=1).read_bytes()
    before = struct.unpack_from(">I", film, film.index(b"stts") + 8)[0]
    runs = np.zeros((rows, 2), dtype=">u4")
    runs[:, 1] = np.arange(rows) + 1_000
    grown = _grown(film, b"stts", 12, runs.tobytes())
    path.write_bytes(_patched(grown, b"stts", 8, ">I", before + rows))
    return path
