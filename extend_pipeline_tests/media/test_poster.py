"""The poster is a small JPEG of three panels: the parent's end, the first new frame, the result's end."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from extend_pipeline.media.analysis.examine import Examined, ResultContext, examine
from extend_pipeline.media.analysis.previews import PREVIEW_BYTES, split
from extend_pipeline.media.check.probe import InvalidFile
from extend_pipeline.media.frames import open_frames
from extend_pipeline_tests.support.media.examined import poster_of
from extend_pipeline_tests.support.media.mp4 import extend_clip, make_clip

if TYPE_CHECKING:
    import numpy as np

PARENT_HUE, NEW_HUE = 0.25, 0.75  # opposite tints, so that a panel's colour shows its part


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clips")
    parent = make_clip(folder / "parent.mp4", seconds=2, hue=PARENT_HUE)
    return parent, extend_clip(parent, folder / "result.mp4", seconds=3, hue=NEW_HUE)


def panels(jpeg: bytes) -> list[np.ndarray]:
    """Return the decoded JPEG as three RGB panels."""
    import av
    import numpy as np

    assert jpeg[:3] == b"\xff\xd8\xff"
    assert jpeg[-2:] == b"\xff\xd9"
    with av.open(io.BytesIO(jpeg), "r", format="mjpeg") as image:
        strip = next(image.decode(video=0)).to_ndarray(format="rgb24")
    assert strip.shape[1] % 3 == 0
    return np.split(strip, 3, axis=1)


def scaled_frame(path: Path, index: int, like: np.ndarray) -> np.ndarray:
    with open_frames(path) as clip:
        index %= len(clip.ticks)
        frame = clip.frames({index})[index]
        return frame.reformat(
            width=like.shape[1], height=like.shape[0], format="rgb24", interpolation="AREA"
        ).to_ndarray()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("with_parent", [True, False])
def test_the_panels_are_the_parents_end_the_first_new_frame_and_the_end(
    clips: tuple[Path, Path], with_parent: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    parent, result = clips

    jpeg = poster_of(parent=parent if with_parent else None, result=result, parent_ms=2000)

    assert len(jpeg) <= 10_000
    assert capfd.readouterr().err == ""
    shown = panels(jpeg)
    assert all(panel.shape == (112, 200, 3) for panel in shown)
    expected = [
        scaled_frame(parent, -1, shown[0]),
        scaled_frame(result, 24, shown[1]),
        scaled_frame(result, -1, shown[2]),
    ]
    for number, panel in enumerate(shown):
        distances = [distance(panel, frame) for frame in expected]
        assert distances.index(min(distances)) == number
        assert distances[number] < 8


def test_a_segment_starts_with_its_first_frame(clips: tuple[Path, Path], tmp_path: Path) -> None:
    parent, _ = clips
    segment = make_clip(tmp_path / "segment.mp4", seconds=3, hue=NEW_HUE, start_s=2)

    _, new, _ = panels(poster_of(parent=parent, result=segment, parent_ms=2000, segment=True))

    assert distance(new, scaled_frame(segment, 0, new)) < 8


def test_a_result_no_longer_than_the_parent_is_treated_as_a_segment(clips: tuple[Path, Path], tmp_path: Path) -> None:
    parent, _ = clips
    segment = make_clip(tmp_path / "segment.mp4", seconds=1, hue=NEW_HUE, start_s=2)

    _, new, _ = panels(poster_of(parent=parent, result=segment, parent_ms=2000))

    assert distance(new, scaled_frame(segment, 0, new)) < 8


def test_without_the_parents_length_the_panels_are_beginning_middle_and_end(clips: tuple[Path, Path]) -> None:
    _, result = clips

    shown = panels(poster_of(parent=None, result=result, parent_ms=None))

    for panel, index in zip(shown, (0, 29, 59), strict=True):
        assert distance(panel, scaled_frame(result, index, panel)) < 8


@pytest.mark.parametrize("most", [10_000, 4_000, 2_000])
def test_a_noisy_upright_film_still_fits(tmp_path: Path, most: int) -> None:
    film = make_clip(tmp_path / "film.mp4", seconds=1, size=(360, 640), noise=120)

    jpeg = poster_of(parent=None, result=film, parent_ms=500, max_bytes=most)

    assert len(jpeg) <= most
    assert len(panels(jpeg)) == 3


def test_a_poster_that_cannot_be_drawn_is_left_out(clips: tuple[Path, Path], tmp_path: Path) -> None:
    parent, result = clips
    page = tmp_path / "page.mp4"
    page.write_bytes(b"<html>")

    for context in (ResultContext(parent=parent, poster_bytes=100), ResultContext(parent=page)):
        examined = examine(result, context)
        assert isinstance(examined, Examined)
        assert examined.poster is None
        assert examined.probe.duration_ms == 5_000
    assert isinstance(examine(page, ResultContext(parent=parent)), InvalidFile)
    with pytest.raises(FileNotFoundError):
        examine(result, ResultContext(parent=tmp_path / "nowhere.mp4"))


@pytest.mark.parametrize(
    "shape", [{}, {"bframes": 2}, {"keyframe_every": 7, "bframes": 2}, {"keyframe_every": 1}], ids=str
)
def test_chosen_frames_are_those_of_a_full_decode(tmp_path: Path, shape: dict[str, int]) -> None:
    import av

    path = make_clip(tmp_path / "clip.mp4", seconds=3, **shape)  # type: ignore[arg-type]
    with av.open(str(path)) as whole:
        expected = [frame.to_ndarray() for frame in whole.decode(video=0)]
    chosen = {0, 1, 6, 7, 8, 20, 34, 35}

    with open_frames(path) as clip:
        frames = clip.frames(chosen)

    assert set(frames) == chosen
    assert all((frames[index].to_ndarray() == expected[index]).all() for index in chosen)


def decoded(image: bytes) -> np.ndarray:
    """Return a WebP image as RGB."""
    import av

    with av.open(io.BytesIO(image), "r", format="webp_pipe") as opened:
        return next(opened.decode(video=0)).to_ndarray(format="rgb24")


def test_a_poster_holds_a_small_preview_of_each_panel(clips: tuple[Path, Path]) -> None:
    parent, result = clips
    jpeg = poster_of(parent=parent, result=result, parent_ms=2000)

    plain, previews = split(jpeg)

    assert split(plain) == (plain, [])
    assert [panel.tolist() for panel in panels(plain)] == [panel.tolist() for panel in panels(jpeg)]
    assert len(previews) == 3
    for number, preview in enumerate(map(decoded, previews)):
        expected = [
            scaled_frame(parent, -1, preview),
            scaled_frame(result, 24, preview),
            scaled_frame(result, -1, preview),
        ]
        distances = [distance(preview, frame) for frame in expected]
        assert distances.index(min(distances)) == number
    assert all(len(preview) <= PREVIEW_BYTES for preview in previews)


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (64, 48), (1920, 80)])
def test_previews_of_noise_fit_in_any_shape(tmp_path: Path, size: tuple[int, int]) -> None:
    film = make_clip(tmp_path / "film.mp4", seconds=1, size=size, noise=120)

    _, previews = split(poster_of(parent=None, result=film, parent_ms=500))

    assert len(previews) == 3
    assert all(len(preview) <= PREVIEW_BYTES for preview in previews)
    height, width, _ = decoded(previews[0]).shape
    assert (width > height) == (size[0] > size[1])


@pytest.mark.parametrize("cut", [2, 3, 5, 40, 900])
def test_a_poster_that_is_cut_off_has_no_more_previews_than_are_there(clips: tuple[Path, Path], cut: int) -> None:
    parent, result = clips
    jpeg = poster_of(parent=parent, result=result, parent_ms=2000)

    _, previews = split(jpeg[:cut])

    assert len(previews) <= 2
