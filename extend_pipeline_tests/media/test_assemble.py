"""A film is assembled from a parent and its continuation: copied where that is possible, re-encoded otherwise."""

from __future__ import annotations

import errno
import math
import resource
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from extend_pipeline.media.analysis.classify import OutputKind, classify_output
from extend_pipeline.media.analysis.examine import ResultContext, examine
from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.join.assemble import Film, assemble
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.support.media.examined import poster_of, probe_of, seam_of
from extend_pipeline_tests.support.media.mp4 import cut, make_clip
from extend_pipeline_tests.support.user_texts import check_user_text

if TYPE_CHECKING:
    import numpy as np

MOST = 50_000_000
SAME_DB = 35.0  # a frame re-encoded at crf 16; a loss would be visible at 28 dB


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "media")


def pair(folder: Path, *, parent: dict[str, Any] | None = None, segment: dict[str, Any] | None = None) -> list[Path]:
    return [
        make_clip(folder / "parent.mp4", **({"seconds": 3} | (parent or {}))),
        make_clip(folder / "segment.mp4", **({"seconds": 2, "start_s": 3} | (segment or {}))),
    ]


def assembled(parts: list[Path], store: LocalStore) -> Film:
    film = assemble(parent=parts[0], segment=parts[1], store=store, max_bytes=MOST)
    assert isinstance(film, Film), film
    assert not list(store.root.glob(".incoming/*"))
    assert isinstance(check_file(store.root / film.stored.path), ValidFile)
    return film


def frames(path: Path) -> list[np.ndarray]:
    import av

    with av.open(str(path)) as clip:
        return [frame.to_ndarray() for frame in clip.decode(video=0)]


def instants(path: Path) -> list[float]:
    import av

    with av.open(str(path)) as clip:
        return [round(frame.time, 4) for frame in clip.decode(video=0)]


def audio_s(path: Path) -> float:
    import av

    with av.open(str(path)) as clip:
        return sum(frame.samples / frame.sample_rate for frame in clip.decode(audio=0))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    import numpy as np

    error = float(np.square(one.astype(float) - other).mean())
    return 99.0 if error == 0 else 10 * math.log10(255**2 / error)


def length_ms(path: Path) -> int:
    probed = probe_of(path)
    return probed.duration_ms


ALIKE: list[dict[str, Any]] = [
    {},
    {"bframes": 2},
    {"bframes": 3, "keyframe_every": 8},
    {"every_other_twice_as_long": True},
    {"audio": True, "bframes": 2},
    {"fragmented": True},
    {"codec": "mpeg4", "fps": 15},
]


@pytest.mark.parametrize("shape", ALIKE, ids=str)
def test_parts_of_one_encoder_are_joined_bit_by_bit(tmp_path: Path, store: LocalStore, shape: dict[str, Any]) -> None:
    if shape.get("codec") == "mpeg4":
        parts = pair(tmp_path, parent={"fps": 15}, segment={"fps": 15})
        parts = [_as_mpeg4(part) for part in parts]
    else:
        parts = pair(tmp_path, parent=shape, segment=shape)

    film = assembled(parts, store)

    path = store.root / film.stored.path
    both = [*frames(parts[0]), *frames(parts[1])]
    shown = frames(path)
    assert film.lossless
    check_user_text(film.note)
    assert film.stored.probe.duration_ms == pytest.approx(length_ms(parts[0]) + length_ms(parts[1]), abs=1)
    assert len(shown) == len(both)
    assert all((one == other).all() for one, other in zip(shown, both, strict=True))
    seam_s = length_ms(parts[0]) / 1000
    expected = [*instants(parts[0]), *(seam_s + at for at in instants(parts[1]))]
    assert instants(path) == pytest.approx(expected, abs=0.001)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "players start before the whole file is there"
    if shape.get("audio"):
        assert audio_s(path) == pytest.approx(5.0, abs=0.05)


def test_another_rate_with_the_same_settings_is_still_copied(tmp_path: Path, store: LocalStore) -> None:
    film = assembled(pair(tmp_path, segment={"fps": 24}), store)

    assert film.lossless
    assert (film.stored.probe.duration_ms, film.stored.probe.frames) == (5000, 36 + 48)


DIFFERENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"bframes": 2}),
    ({"bframes": 2}, {"size": (160, 160)}),
    ({"fps": 24}, {"fps": 12, "size": (640, 360)}),
    ({"every_other_twice_as_long": True}, {"size": (640, 360)}),
]


@pytest.mark.parametrize(("first", "second"), DIFFERENT, ids=lambda value: str(value))
def test_parts_that_do_not_fit_are_reencoded_with_the_reason_in_the_note(
    tmp_path: Path, store: LocalStore, first: dict[str, Any], second: dict[str, Any]
) -> None:
    parts = pair(tmp_path, parent=first, segment=second)

    film = assembled(parts, store)

    shown = frames(store.root / film.stored.path)
    before = frames(parts[0])
    assert not film.lossless
    check_user_text(film.note)
    assert (film.stored.probe.width, film.stored.probe.height, film.stored.probe.codec) == (320, 180, "h264")
    assert film.stored.probe.duration_ms == pytest.approx(length_ms(parts[0]) + length_ms(parts[1]), abs=2)
    assert min(psnr(one, other) for one, other in zip(shown, before, strict=False)) > SAME_DB
    if "size" not in second:
        after = frames(parts[1])
        assert min(psnr(one, other) for one, other in zip(shown[len(before) :], after, strict=True)) > SAME_DB
    if second.get("size") == (160, 160):
        luma = shown[-1][:180]
        assert luma[:, :68].max() < 30, "black beside the square frame"
        assert luma[:, 100:220].max() > 150
    if first.get("fps") == 24:
        assert film.stored.probe.frames == 72 + 48, "the segment gets the parent's rate"


def test_another_codec_is_reencoded(tmp_path: Path, store: LocalStore) -> None:
    parts = pair(tmp_path)
    parts[1] = _as_mpeg4(parts[1])

    film = assembled(parts, store)

    assert not film.lossless
    check_user_text(film.note)


def test_audio_of_another_rate_is_reencoded_beside_copied_frames(tmp_path: Path, store: LocalStore) -> None:
    parts = pair(tmp_path, parent={"audio": True}, segment={"audio": True, "audio_rate": 44_100})

    film = assembled(parts, store)

    path = store.root / film.stored.path
    assert not film.lossless
    check_user_text(film.note)
    assert audio_s(path) == pytest.approx(5.0, abs=0.05)
    assert (frames(path)[-1] == frames(parts[1])[-1]).all()


@pytest.mark.parametrize("trimmed", [0, 1], ids=["parent", "segment"])
def test_frames_that_an_edit_list_hides_are_not_in_the_film(tmp_path: Path, store: LocalStore, trimmed: int) -> None:
    parts = pair(tmp_path)
    parts[trimmed] = _first_second_hidden(parts[trimmed])

    film = assembled(parts, store)

    shown = frames(store.root / film.stored.path)
    both = [*frames(parts[0]), *frames(parts[1])]
    assert film.stored.probe.duration_ms == pytest.approx(4000, abs=1)
    check_user_text(film.note)
    assert min(psnr(one, other) for one, other in zip(shown, both, strict=True)) > SAME_DB


def test_copied_audio_follows_without_an_overlap(tmp_path: Path, store: LocalStore) -> None:
    import av

    film = assembled(pair(tmp_path, parent={"audio": True}, segment={"audio": True}), store)

    with av.open(str(store.root / film.stored.path)) as clip:
        spans = [(frame.time, frame.samples / frame.sample_rate) for frame in clip.decode(audio=0)]
    gaps = [after - (at + length) for (at, length), (after, _) in pairwise(spans)]
    assert all(-0.0005 < gap < 0.022 for gap in gaps), "no overlap, and a gap of at most one packet"


def test_the_same_parts_give_the_same_film(tmp_path: Path, store: LocalStore) -> None:
    for segment in ({}, {"bframes": 2}):
        parts = pair(tmp_path, segment=segment)
        assert assembled(parts, store) == assembled(parts, store)
    assert len(list(store.root.rglob("*.mp4"))) == 2


def test_a_film_can_be_the_parent_of_the_next_hop(tmp_path: Path, store: LocalStore) -> None:
    parts = pair(tmp_path, parent={"bframes": 2}, segment={"bframes": 2})
    first = assembled(parts, store)
    second = assembled([store.root / first.stored.path, parts[1]], store)

    assert second.lossless
    assert second.stored.probe.duration_ms == 7000


@pytest.mark.parametrize("broken", [0, 1], ids=["parent", "segment"])
@pytest.mark.parametrize("fraction", [0.0, 0.05, 0.7])
def test_a_broken_part_gives_a_reason_and_no_film(
    tmp_path: Path, store: LocalStore, broken: int, fraction: float
) -> None:
    parts = pair(tmp_path)
    cut(parts[broken], fraction)

    outcome = assemble(parent=parts[0], segment=parts[1], store=store, max_bytes=MOST)

    assert isinstance(outcome, InvalidFile)
    film, _, _ = outcome.reason.partition(":")
    assert ("parent", "segment")[broken] in film
    check_user_text(film)
    assert not [path for path in store.root.rglob("*") if path.is_file()]


def test_damaged_frames_give_a_film_or_a_reason_and_never_an_exception(tmp_path: Path, store: LocalStore) -> None:
    parts = pair(tmp_path)
    whole = parts[1].read_bytes()
    for place in range(40, len(whole), len(whole) // 12):
        parts[1].write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        outcome = assemble(parent=parts[0], segment=parts[1], store=store, max_bytes=MOST)
        assert isinstance(outcome, Film | InvalidFile)
        assert not list(store.root.glob(".incoming/*"))


@pytest.mark.parametrize("segment", [{}, {"bframes": 2}], ids=["copied", "reencoded"])
def test_a_film_above_the_limit_is_not_stored(tmp_path: Path, store: LocalStore, segment: dict[str, Any]) -> None:
    parts = pair(tmp_path, segment=segment)

    outcome = assemble(parent=parts[0], segment=parts[1], store=store, max_bytes=10_000)

    assert isinstance(outcome, InvalidFile)
    assert "10,000" in outcome.reason
    assert not [path for path in store.root.rglob("*") if path.is_file()]


def test_a_full_disk_and_a_missing_file_are_errors_of_the_machine(tmp_path: Path, store: LocalStore) -> None:
    parts = pair(tmp_path, parent={"noise": 60}, segment={"noise": 60})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="assembled film") as caught:
            assemble(parent=parts[0], segment=parts[1], store=store, max_bytes=MOST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert not [path for path in store.root.rglob("*") if path.is_file()]
    with pytest.raises(FileNotFoundError):
        assemble(parent=tmp_path / "nowhere.mp4", segment=parts[1], store=store, max_bytes=MOST)


def test_a_segment_is_classified_measured_and_drawn(tmp_path: Path) -> None:
    parent, segment = pair(tmp_path, parent={"seconds": 5}, segment={"seconds": 5, "start_s": 5})

    seam = seam_of(parent=parent, result=segment)

    assert seam.joint_db is not None
    assert seam.psnr_db is not None
    assert seam.joint_db > seam.psnr_db
    assert not seam.parent_is_prefix
    assert classify_output(parent_ms=5000, probed_ms=5000, seam=seam, longest_added_ms=7000) is OutputKind.SEGMENT
    strip = poster_of(parent=parent, result=segment, parent_ms=5000, segment=True)
    assert strip[:2] == b"\xff\xd8"
    assert isinstance(examine(cut(segment, 0.05), ResultContext(parent=parent)), InvalidFile)


def _as_mpeg4(path: Path) -> Path:
    """Write the clip as MPEG-4 part 2 beside it, and return the new path."""
    import av

    target = path.with_name(f"{path.stem}-mpeg4.mp4")
    with av.open(str(path)) as clip, av.open(str(target), "w", format="mp4") as out:
        source = clip.streams.video[0]
        stream = out.add_stream("mpeg4", rate=source.average_rate)
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        for number, frame in enumerate(clip.decode(source)):
            frame.pts, frame.time_base, frame.pict_type = number, 1 / source.average_rate, 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target


def _first_second_hidden(path: Path) -> Path:
    """Write the clip with an edit list that hides its first second, and return the new path.

    There is no keyframe where the visible part begins.
    """
    import av

    target = path.with_name(f"{path.stem}-trimmed.mp4")
    with av.open(str(path)) as clip, av.open(str(target), "w", format="mp4") as out:
        source = clip.streams.video[0]
        stream = out.add_stream_from_template(source)
        for packet in clip.demux(source):
            if packet.pts is not None and packet.dts is not None:
                second = round(1 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - second, packet.dts - second, stream
                out.mux(packet)
    return target
