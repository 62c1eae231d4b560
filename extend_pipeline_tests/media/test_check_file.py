"""Valid files pass with their properties; every broken kind is caught with a reason that a person understands."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extend_pipeline.media.check.probe import InvalidFile, Probe, ValidFile, check_file
from extend_pipeline_tests.support.media.mp4 import cut, extend_clip, make_clip
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", seconds=2, audio=True)


@pytest.fixture
def copy(clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(clip, tmp_path / "copy.mp4"))


def box(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isommp41")


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"audio": True},
        {"faststart": False},
        {"faststart": False, "audio": True},
        {"bframes": 2},
        {"fragmented": True, "keyframe_every": 6},
        {"keyframe_every": 1},
        {"size": (180, 320)},
        {"fps": 30},
    ],
    ids=str,
)
def test_a_valid_file_passes_with_its_properties(tmp_path: Path, shape: dict[str, Any]) -> None:
    verdict = check_file(make_clip(tmp_path / "clip.mp4", seconds=2, **shape))

    fps = shape.get("fps", 12)
    width, height = shape.get("size", (320, 180))
    assert verdict == ValidFile(
        Probe(
            duration_ms=2000,
            width=width,
            height=height,
            codec="h264",
            frames=2 * fps,
            fps=float(fps),
            has_audio=shape.get("audio", False),
        )
    )


def test_a_variable_frame_rate_passes_with_its_real_length(tmp_path: Path) -> None:
    verdict = check_file(make_clip(tmp_path / "clip.mp4", seconds=3, every_other_twice_as_long=True))

    assert isinstance(verdict, ValidFile)
    assert verdict.probe.frames == 24
    assert verdict.probe.duration_ms == pytest.approx(3000, abs=100)


def test_an_extension_is_as_long_as_its_parts(clip: Path, tmp_path: Path) -> None:
    verdict = check_file(extend_clip(clip, tmp_path / "longer.mp4", seconds=3))

    assert isinstance(verdict, ValidFile)
    assert (verdict.probe.duration_ms, verdict.probe.frames, verdict.probe.has_audio) == (5000, 60, True)


def test_a_video_with_an_edit_list_that_hides_its_beginning_passes(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "clip.mp4", seconds=4, bframes=2)
    data = bytearray(source.read_bytes())
    entry = data.index(b"elst") + 12  # segment duration and media time of the only entry, version 0
    duration, media_time = struct.unpack_from(">Ii", data, entry)
    tkhd = data.index(b"tkhd") + 24
    struct.pack_into(">Ii", data, entry, duration // 2, media_time + 2 * 30_720)
    struct.pack_into(">I", data, tkhd, duration // 2)
    source.write_bytes(data)

    verdict = check_file(source)

    assert isinstance(verdict, ValidFile), verdict
    assert verdict.probe.duration_ms == pytest.approx(2000, abs=100)


def test_a_faststart_file_cut_at_70_percent_is_broken_although_its_header_is_whole(copy: Path) -> None:
    import av

    cut(copy, 0.7)

    with av.open(str(copy)) as container:
        assert container.duration == 2_000_000, "the header must still claim the full length"
    verdict = check_file(copy)
    assert isinstance(verdict, InvalidFile)
    check_user_text(re.sub(r"[\d,]+\d", "COUNT", verdict.reason))


def test_a_cut_file_whose_last_part_runs_to_the_end_is_caught_by_its_sample_table(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    struct.pack_into(">I", data, data.index(b"mdat") - 4, 0)  # size 0: to the end of the file, wherever that is
    copy.write_bytes(data)
    assert isinstance(check_file(copy), ValidFile)

    verdict = check_file(cut(copy, 0.7))

    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)


def test_every_cut_is_caught(clip: Path, tmp_path: Path) -> None:
    for tenths in range(10):
        piece = cut(Path(shutil.copy(clip, tmp_path / "cut.mp4")), tenths / 10)
        assert isinstance(check_file(piece), InvalidFile), f"cut at {tenths}0 %"


def test_a_cut_fragmented_file_is_caught(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=3, fragmented=True, keyframe_every=6)

    assert isinstance(check_file(cut(clip, 0.7)), InvalidFile)


def test_a_fragmented_file_cut_between_fragments_is_caught_where_its_header_has_the_total(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=3, fragmented=True, keyframe_every=12)
    data = bytearray(clip.read_bytes())
    mvex, moov = data.index(b"mvex"), data.index(b"moov")
    (clock,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    total = box(b"mehd", struct.pack(">II", 0, 3 * clock))
    for part in (mvex, moov):
        struct.pack_into(">I", data, part - 4, struct.unpack_from(">I", data, part - 4)[0] + len(total))
    data[mvex + 4 : mvex + 4] = total
    clip.write_bytes(data)
    assert isinstance(check_file(clip), ValidFile)

    third = data.index(b"moof", data.index(b"moof", data.index(b"moof") + 1) + 1)
    clip.write_bytes(data[: third - 4])

    verdict = check_file(clip)
    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)


def test_a_header_that_claims_more_time_than_there_are_frames_is_caught(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    for kind, at in ((b"tkhd", 24), (b"mdhd", 20)):
        field = data.index(kind) + at
        (ticks,) = struct.unpack_from(">I", data, field)
        struct.pack_into(">I", data, field, ticks * 2)
    copy.write_bytes(data)

    verdict = check_file(copy)

    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)


def test_a_64_bit_size_is_understood(copy: Path) -> None:
    data = copy.read_bytes()
    tail = struct.pack(">I4sQ", 1, b"free", 24) + bytes(8)
    copy.write_bytes(data + tail)
    assert isinstance(check_file(copy), ValidFile)

    copy.write_bytes(data + struct.pack(">I4sQ", 1, b"free", 1 << 40) + bytes(8))
    verdict = check_file(copy)
    assert isinstance(verdict, InvalidFile)
    assert "'free'" in verdict.reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>",
        b"\n<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b'{"code": 1203, "message": "expired"}',
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"abc",
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/secret\n",
        box(b"moof") + FTYP,
        FTYP,
        FTYP + box(b"mdat", bytes(100)),
        FTYP + box(b"moov", bytes(4)) + box(b"mdat"),
        FTYP + box(b"moov"),
        FTYP + box(b"moov") + box(b"mdat"),
        FTYP + box(b"moov") + box(b"moov") + box(b"mdat"),
        FTYP + box(b"moov", box(b"trak")) + box(b"mdat"),
        FTYP + box(b"moov", box(b"trak", box(b"tkhd"))) + box(b"mdat"),
        FTYP + struct.pack(">I4s", 4, b"moov"),
        FTYP + bytes(5),
        FTYP + struct.pack(">I4s", 1, b"mdat"),
        FTYP + box(b"free") * 60_000,
    ],
    ids=lambda content: repr(content[:24]),
)
def test_anything_but_a_whole_mp4_is_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)

    verdict = check_file(path)

    assert isinstance(verdict, InvalidFile)
    check_user_text(f"{content[:60].rstrip(bytes(1))!r}: {verdict.reason}")
    assert str(tmp_path) not in verdict.reason


def test_boxes_nested_a_thousand_deep_are_refused_without_recursion(copy: Path) -> None:
    nest = b""
    for _ in range(5_000):
        nest = box(b"moov", nest)
    copy.write_bytes(FTYP + nest + box(b"mdat", bytes(16)))

    assert isinstance(check_file(copy), InvalidFile)


def test_a_missing_header_is_distinguished_from_one_at_the_end(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, faststart=False)
    data = clip.read_bytes()
    clip.write_bytes(data[: data.index(b"moov") - 4])

    verdict = check_file(clip)

    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)


def test_audio_without_video_is_refused(tmp_path: Path) -> None:
    import av
    import numpy as np

    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))

    verdict = check_file(path)
    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)


@pytest.mark.parametrize("size", [(0, 180), (320, 0), (65_535, 65_535), (8, 8)])
def test_absurd_dimensions_are_refused(copy: Path, size: tuple[int, int]) -> None:
    data = bytearray(copy.read_bytes())
    struct.pack_into(">HH", data, data.index(b"avc1", data.index(b"stsd")) + 28, *size)
    copy.write_bytes(data)

    verdict = check_file(copy)

    assert isinstance(verdict, InvalidFile)
    assert f"{size[0]} × {size[1]}" in verdict.reason


@pytest.mark.parametrize(("table", "at"), [(b"stsz", 12), (b"stts", 12)])
def test_a_table_that_claims_billions_is_refused_before_anything_is_allocated(
    copy: Path, table: bytes, at: int
) -> None:
    data = bytearray(copy.read_bytes())
    struct.pack_into(">I", data, data.index(table) + at, 900_000 if table == b"stsz" else 4_000_000_000)
    copy.write_bytes(data)

    verdict = check_file(copy)

    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)


def test_frames_of_zeros_are_refused_although_every_table_adds_up(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)
    copy.write_bytes(data)

    assert isinstance(check_file(copy), InvalidFile)


def test_a_missing_file_raises_and_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_file(tmp_path / "nowhere.mp4")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 255)), min_size=1, max_size=12))
def test_flipped_bytes_in_the_header_never_raise(
    clip: Path, tmp_path: Path, flips: list[tuple[int, int]], capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(clip.read_bytes())
    for at, value in flips:
        data[at] = value
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)

    assert isinstance(check_file(path), ValidFile | InvalidFile)
    assert capfd.readouterr().err == "", "libav must not write to the terminal"
