"""A result is opened once, read once, and no frame of it is decoded twice; a parent whose frames were kept is not
opened. The film of a segment is written from the same parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import Examined, ResultContext, examine
from extend_pipeline.media.check.probe import check_file
from extend_pipeline.media.join.film import Joined, join
from extend_pipeline_tests.support.media.counts import Counts
from extend_pipeline_tests.support.media.mp4 import cut, extend_clip, make_clip

FPS, KEYFRAME_EVERY = 12, 24


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a film of 20 s with a keyframe every 2 s, and a result that continues it for 5 s."""
    folder = tmp_path_factory.mktemp("films")
    parent = make_clip(folder / "parent.mp4", seconds=20, keyframe_every=KEYFRAME_EVERY, bframes=2)
    return parent, extend_clip(parent, folder / "result.mp4", seconds=5)


def context(parent: Path, tmp_path: Path, kept: Path | None) -> ResultContext:
    return ResultContext(
        parent=parent, parent_frames=kept, parent_ms=20_000, longest_added_ms=7_000, keep=tmp_path / "result.frames"
    )


def test_a_check_opens_and_reads_a_film_once_and_decodes_its_first_frame(
    films: tuple[Path, Path], counts: Counts
) -> None:
    check_file(films[1])

    assert (counts.opened, counts.demuxed, counts.sought.total()) == ({"result.mp4": 1}, {"result.mp4": 1}, 0)
    assert counts.decoded["result.mp4"].total() == 1


def test_with_kept_frames_only_the_result_is_opened_and_each_frame_decoded_once(
    films: tuple[Path, Path], tmp_path: Path, counts: Counts
) -> None:
    kept = tmp_path / "parent.frames"
    assert examine(films[0], ResultContext(kind=OutputKind.FULL, keep=kept)).kept  # type: ignore[union-attr]
    counts.clear()

    examined = examine(films[1], context(films[0], tmp_path, kept))

    assert isinstance(examined, Examined)
    assert examined.seam is not None
    assert examined.seam.parent_is_prefix
    assert examined.kept
    assert examined.poster is not None
    assert counts.opened == {"result.mp4": 1}
    decoded = counts.decoded["result.mp4"]
    assert max(decoded.values()) == 1, "nothing is decoded twice"
    # earlier instants are keyframes; two groups are decoded up to their last needed frame
    assert decoded.total() <= 2 * KEYFRAME_EVERY + 5 * FPS
    assert counts.demuxed["result.mp4"] == 1 + counts.sought["result.mp4"]
    assert counts.sought["result.mp4"] <= 9


def test_without_kept_frames_each_film_is_opened_once(films: tuple[Path, Path], tmp_path: Path, counts: Counts) -> None:
    assert isinstance(examine(films[1], context(films[0], tmp_path, None)), Examined)

    assert counts.opened == {"parent.mp4": 1, "result.mp4": 1}
    assert all(max(decoded.values()) == 1 for decoded in counts.decoded.values())


def test_frames_that_no_other_needs_are_left_out(tmp_path: Path, counts: Counts) -> None:
    parent = make_clip(tmp_path / "parent.mp4", seconds=20, bframes=2)

    assert isinstance(examine(parent, ResultContext(kind=OutputKind.FULL, keep=tmp_path / "kept")), Examined)

    assert counts.decoded["parent.mp4"].total() < 0.8 * 20 * FPS


def test_a_segment_has_only_its_parents_end_decoded(films: tuple[Path, Path], tmp_path: Path, counts: Counts) -> None:
    segment = make_clip(tmp_path / "segment.mp4", seconds=3, start_s=20)

    examined = examine(segment, ResultContext(parent=films[0], parent_ms=20_000, kind=OutputKind.SEGMENT))

    assert isinstance(examined, Examined)
    assert examined.seam is not None
    assert examined.seam.joint_db is not None
    assert counts.sought["parent.mp4"] <= 2, "the first frame, and the last ones"


def test_the_film_of_a_segment_is_written_while_both_parts_are_open(tmp_path: Path, counts: Counts) -> None:
    parts = {
        "parent": make_clip(tmp_path / "parent.mp4", seconds=5, bframes=2, audio=True),
        "segment": make_clip(tmp_path / "segment.mp4", seconds=3, start_s=5, bframes=2, audio=True),
    }
    alone = join(**parts, out=tmp_path / "alone.mp4", max_bytes=1 << 30)
    plain = ResultContext(parent=parts["parent"], parent_ms=5_000, kind=OutputKind.SEGMENT)
    counts.clear()
    unjoined = examine(parts["segment"], plain)
    decoded = counts.decoded["parent.mp4"]
    counts.clear()

    examined = examine(parts["segment"], replace(plain, film=tmp_path / "film.mp4", max_film_bytes=1 << 30))

    assert isinstance(alone, Joined)
    assert isinstance(examined, Examined)
    assert examined.film == alone
    assert (tmp_path / "film.mp4").read_bytes() == (tmp_path / "alone.mp4").read_bytes()
    assert replace(examined, film=None) == unjoined
    assert counts.opened == {"parent.mp4": 1, "segment.mp4": 1, "film.mp4": 1}
    assert counts.decoded["parent.mp4"] == decoded


@pytest.mark.parametrize("reason", ["other settings", "other audio", "too large", "the parent is not whole"])
def test_a_film_that_can_not_be_copied_is_left_to_a_task_of_its_own(tmp_path: Path, reason: str) -> None:
    parent = make_clip(tmp_path / "parent.mp4", seconds=2, bframes=2 if reason == "other settings" else 0)
    if reason == "the parent is not whole":
        cut(parent, 0.7)
    segment = make_clip(tmp_path / "segment.mp4", seconds=2, start_s=2, audio=reason == "other audio")
    plain = ResultContext(parent=parent, parent_ms=2_000, kind=OutputKind.SEGMENT)
    most = 1_000 if reason == "too large" else 1 << 30

    examined = examine(segment, replace(plain, film=tmp_path / "film.mp4", max_film_bytes=most))

    assert isinstance(examined, Examined)
    assert examined.film is None
    assert examined == examine(segment, plain)
