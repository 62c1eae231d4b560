"""Parts that fit are opened and read once to be joined, and the film once to be checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.media.check.probe import ValidFile, check_file
from extend_pipeline.media.join import clip
from extend_pipeline.media.join.film import SEAM_FRAMES, Joined, join
from extend_pipeline_tests.support.media.counts import Counts
from extend_pipeline_tests.support.media.mp4 import cut, make_clip

FPS = 12


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a film of 5 s and a segment of 4 s that continues it."""
    folder = tmp_path_factory.mktemp("parts")
    return {
        "parent": make_clip(folder / "parent.mp4", seconds=5, bframes=2),
        "segment": make_clip(folder / "segment.mp4", seconds=4, start_s=5, bframes=2),
    }


def joined(parts: dict[str, Path], out: Path) -> Joined:
    film = join(**parts, out=out, max_bytes=1 << 30)
    assert isinstance(film, Joined)
    return film


def test_each_part_is_opened_and_read_once_and_so_is_the_film(
    parts: dict[str, Path], tmp_path: Path, counts: Counts
) -> None:
    film = joined(parts, tmp_path / "film.mp4")

    assert film.lossless
    assert counts.opened == {"parent.mp4": 1, "segment.mp4": 1, "film.mp4": 1}
    assert counts.written == {"film.mp4": 1}
    decoded = {name: frames.total() for name, frames in counts.decoded.items()}
    assert decoded["parent.mp4"] == 1, "its first frame, which tells its format"
    # the frames after the seam, and those that B-frames among them need
    assert decoded["segment.mp4"] <= 1 + SEAM_FRAMES + 3
    assert decoded["film.mp4"] <= 1 + SEAM_FRAMES + 3
    assert counts.packets["parent.mp4"] == 5 * FPS
    assert counts.packets["segment.mp4"] <= 4 * FPS + SEAM_FRAMES + 3
    assert counts.packets["film.mp4"] <= 9 * FPS + SEAM_FRAMES + 3


def test_the_returned_figures_are_those_of_the_written_film(parts: dict[str, Path], tmp_path: Path) -> None:
    film = joined(parts, tmp_path / "film.mp4")

    assert check_file(tmp_path / "film.mp4") == ValidFile(film.probe)


def test_a_part_that_is_not_whole_is_opened_once_and_nothing_is_written(
    parts: dict[str, Path], tmp_path: Path, counts: Counts
) -> None:
    whole = parts["segment"]
    segment = tmp_path / "segment.mp4"
    segment.write_bytes(whole.read_bytes())
    cut(segment, 0.7)

    assert not isinstance(join(**parts | {"segment": segment}, out=tmp_path / "film.mp4", max_bytes=1 << 30), Joined)

    assert counts.opened["parent.mp4"] == 1
    assert counts.opened["segment.mp4"] <= 1
    assert not counts.written


@pytest.mark.parametrize("audio", [False, True])
def test_parts_that_are_too_large_for_memory_are_read_again_and_give_the_same_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audio: bool
) -> None:
    parts = {
        "parent": make_clip(tmp_path / "parent.mp4", seconds=3, audio=audio),
        "segment": make_clip(tmp_path / "segment.mp4", seconds=2, start_s=3, audio=audio),
    }
    held = joined(parts, tmp_path / "held.mp4")
    monkeypatch.setattr(clip, "MAX_HELD", 0)

    assert joined(parts, tmp_path / "again.mp4") == held
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "held.mp4").read_bytes()
