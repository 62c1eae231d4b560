"""A film that is stored turned, with a mark for its players, is joined and measured as a player shows it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from extend_pipeline.media.check.probe import Probe
from extend_pipeline.media.frames import open_frames
from extend_pipeline.media.join.film import Joined, join
from extend_pipeline.media.upright import NO_TURN, Turn, turn_of
from extend_pipeline_tests.support.media.examined import poster_of, probe_of, seam_of
from extend_pipeline_tests.support.media.mp4 import make_clip
from extend_pipeline_tests.support.user_texts import check_user_text

if TYPE_CHECKING:
    import numpy as np

MARKS: list[dict[str, Any]] = [
    {"turned": 90},
    {"turned": 180},
    {"turned": 270},
    {"mirrored": True},
    {"turned": 90, "mirrored": True},
]
SAME_DB = 35.0  # a frame re-encoded at crf 16


def clips(folder: Path, parent: dict[str, Any], segment: dict[str, Any]) -> list[Path]:
    return [
        make_clip(folder / "parent.mp4", seconds=2, **parent),
        make_clip(folder / "segment.mp4", seconds=1, start_s=2, **segment),
    ]


def joined(parts: list[Path], out: Path) -> tuple[Joined, Probe]:
    outcome = join(parent=parts[0], segment=parts[1], out=out, max_bytes=50_000_000)
    assert isinstance(outcome, Joined), outcome
    probed = probe_of(out)
    assert (probed.duration_ms, probed.frames) == (3000, 36)
    return outcome, probed


def stored_frame(path: Path, index: int) -> tuple[np.ndarray, Turn]:
    """Return the luma of a frame as it is stored, and the turn that its mark requires."""
    import av

    with av.open(str(path)) as clip:
        frame = [*clip.decode(video=0)][index]
        return frame.to_ndarray()[: frame.height], turn_of(frame)


def as_seen(luma: np.ndarray, mark: dict[str, Any]) -> np.ndarray:
    """Return the frame as a player shows it: turned counter-clockwise by the mark, then mirrored left to right."""
    import numpy as np

    turned = np.rot90(luma, mark.get("turned", 0) // 90)
    return turned[:, ::-1] if mark.get("mirrored") else turned


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    import numpy as np

    assert one.shape == other.shape
    error = float(np.square(one.astype(float) - other).mean())
    return 99.0 if error == 0 else 10 * math.log10(255**2 / error)


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_a_clip_is_probed_and_decoded_as_a_player_shows_it(tmp_path: Path, mark: dict[str, Any]) -> None:
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, **mark)
    probed = probe_of(clip)
    luma, turn = stored_frame(clip, 3)
    assert turn != NO_TURN

    with open_frames(clip) as opened:
        frame = opened.frames({3})[3]

    seen = as_seen(luma, mark)
    assert (probed.height, probed.width) == seen.shape
    assert (frame.to_ndarray()[: frame.height] == seen).all()


@pytest.mark.parametrize("mark", MARKS, ids=str)
def test_parts_with_the_same_mark_are_copied_and_keep_it(tmp_path: Path, mark: dict[str, Any]) -> None:
    parts = clips(tmp_path, mark, mark)

    made, probed = joined(parts, tmp_path / "film.mp4")

    assert made.lossless
    first, last = stored_frame(parts[0], 0), stored_frame(parts[1], -1)
    assert first[1] == stored_frame(tmp_path / "film.mp4", 0)[1] != NO_TURN
    assert (stored_frame(tmp_path / "film.mp4", 0)[0] == first[0]).all()
    assert (stored_frame(tmp_path / "film.mp4", -1)[0] == last[0]).all()
    assert (probed.height, probed.width) == as_seen(first[0], mark).shape


@pytest.mark.parametrize("mark", MARKS, ids=str)
@pytest.mark.parametrize("which", [0, 1], ids=["parent", "segment"])
def test_a_reencoded_film_is_upright(tmp_path: Path, mark: dict[str, Any], which: int) -> None:
    size = {} if mark.get("turned") in (None, 180) else {"size": (180, 320)}
    marks: list[dict[str, Any]] = [size, size]
    marks[which] = mark
    parts = clips(tmp_path, marks[0], marks[1])

    made, probed = joined(parts, tmp_path / "film.mp4")

    assert not made.lossless
    check_user_text(made.note)
    assert (probed.width, probed.height) == ((180, 320) if size else (320, 180))
    for index, part in ((0, 0), (-1, 1)):
        shown, turn = stored_frame(tmp_path / "film.mp4", index)
        assert turn == NO_TURN
        assert psnr(shown, as_seen(stored_frame(parts[part], index)[0], marks[part])) > SAME_DB


def test_turned_parts_that_do_not_fit_become_upright(tmp_path: Path) -> None:
    parts = clips(tmp_path, {"turned": 90}, {"turned": 90, "bframes": 2})

    made, probed = joined(parts, tmp_path / "film.mp4")

    assert not made.lossless
    assert (probed.width, probed.height) == (180, 320)
    shown, turn = stored_frame(tmp_path / "film.mp4", -1)
    assert turn == NO_TURN
    assert psnr(shown, as_seen(stored_frame(parts[1], -1)[0], {"turned": 90})) > SAME_DB


def test_a_seam_and_a_poster_compare_upright_frames(tmp_path: Path) -> None:
    """The parent is stored turned; the result, which begins with it, is stored upright."""
    import av

    parent, segment = clips(tmp_path, {"turned": 90}, {"size": (180, 320)})
    made, _ = joined([parent, segment], tmp_path / "film.mp4")
    assert not made.lossless

    seam = seam_of(parent=parent, result=tmp_path / "film.mp4")

    assert seam.parent_is_prefix
    assert seam.psnr_db is not None
    assert seam.psnr_db > SAME_DB
    strip = tmp_path / "strip.jpg"
    strip.write_bytes(poster_of(parent=parent, result=tmp_path / "film.mp4", parent_ms=2000))
    with av.open(str(strip), format="mjpeg") as jpeg:
        (shown,) = jpeg.decode(video=0)
    assert shown.height > shown.width / 3, "three upright panels"
