"""The figures of a result are those that were recorded when commit f7c40fb opened each film five times.

The encoder doesn't make the same bytes each time, so that recorded decibels hold within TOLERANCE_DB; a whole film that
is decoded frame by frame gives the same values to the hundredth.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extend_pipeline.media.analysis.classify import OutputKind, classify_output
from extend_pipeline.media.analysis.examine import Examined, ResultContext, examine
from extend_pipeline.media.analysis.seam import SAMPLED_AT
from extend_pipeline.media.check.probe import InvalidFile
from extend_pipeline_tests.support.media.pairs import PAIRS, Pair

RECORDED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "film_figures.json").read_text("utf-8"))
TOLERANCE_DB = 0.4
LONGEST_ADDED_MS = 7_000
PLAIN = ("an exact extension", "coded again", "at another rate", "many keyframes and B-frames", "in matroska")


def looked_at(pair: Pair, kept: Path | None = None) -> Examined | InvalidFile:
    context = ResultContext(
        parent=pair.parent, parent_frames=kept, parent_ms=pair.parent_ms, longest_added_ms=LONGEST_ADDED_MS
    )
    return examine(pair.result, context)


def kind_of(pair: Pair, examined: Examined) -> str:
    return classify_output(
        parent_ms=pair.parent_ms,
        probed_ms=examined.probe.duration_ms,
        seam=examined.seam,
        longest_added_ms=LONGEST_ADDED_MS,
    ).value


def panels(jpeg: bytes) -> np.ndarray:
    """Return the mean colour of each panel."""
    import av

    with av.open(io.BytesIO(jpeg), "r", format="mjpeg") as image:
        strip = next(image.decode(video=0)).to_ndarray(format="rgb24")
    return np.stack([panel.mean(axis=(0, 1)) for panel in np.split(strip, 3, axis=1)])


@pytest.mark.parametrize("name", PAIRS)
def test_the_figures_are_those_of_before(name: str, tmp_path: Path) -> None:
    pair, recorded = PAIRS[name](tmp_path), RECORDED[name]

    examined = looked_at(pair)

    if recorded is None:
        assert isinstance(examined, InvalidFile)
        return
    assert isinstance(examined, Examined)
    assert examined.seam is not None
    probe, seam = examined.probe, examined.seam
    assert [
        probe.duration_ms, probe.width, probe.height, probe.codec, probe.frames, probe.has_audio,
    ] == recorded["probe"]  # fmt: skip
    psnr_db, is_prefix, compared, joint_db = recorded["seam"]
    assert (seam.parent_is_prefix, seam.compared_frames) == (is_prefix, compared)
    assert seam.psnr_db == (None if psnr_db is None else pytest.approx(psnr_db, abs=TOLERANCE_DB))
    assert seam.joint_db == (None if joint_db is None else pytest.approx(joint_db, abs=TOLERANCE_DB))
    assert kind_of(pair, examined) == recorded["kind"]
    assert (examined.poster is None) == (recorded["panels"] is None)
    if examined.poster is not None:
        assert panels(examined.poster) == pytest.approx(np.array(recorded["panels"]), abs=2)


@pytest.mark.parametrize("name", PAIRS)
def test_kept_frames_of_a_parent_give_the_figures_of_its_film(name: str, tmp_path: Path) -> None:
    pair, kept = PAIRS[name](tmp_path), tmp_path / "parent.frames"
    examine(pair.parent, ResultContext(kind=OutputKind.FULL, keep=kept))

    from_film, from_kept = looked_at(pair), looked_at(pair, kept)

    if isinstance(from_film, Examined):
        assert isinstance(from_kept, Examined)
        assert (from_kept.probe, from_kept.seam) == (from_film.probe, from_film.seam)
        if from_film.poster is not None:
            assert from_kept.poster is not None
            assert panels(from_kept.poster) == pytest.approx(panels(from_film.poster), abs=1)


@pytest.mark.parametrize("name", PLAIN)
def test_the_figures_are_those_of_films_that_are_decoded_whole(name: str, tmp_path: Path) -> None:
    pair = PAIRS[name](tmp_path)

    examined = looked_at(pair)

    assert isinstance(examined, Examined)
    assert examined.seam is not None
    old, new = whole(pair.parent), whole(pair.result)
    length_s = len(old) * (old[1][0] - old[0][0])
    last = [(frame, nearest(new, at_s)) for at_s, frame in old[-5:]]
    earlier = [nearest(old, share * length_s) for share in SAMPLED_AT]
    assert examined.seam.psnr_db == decibels(float(np.mean([error(*both) for both in last])))
    assert examined.seam.joint_db == decibels(error(old[-1][1], new[0][1]))
    assert examined.seam.parent_is_prefix == all(
        decibels(error(frame, nearest(new, share * length_s))) > 25
        for share, frame in zip(SAMPLED_AT, earlier, strict=True)
    )


def whole(path: Path) -> list[tuple[float, np.ndarray]]:
    """Return the instant (s after the first frame) and the samples of every frame."""
    import av

    with av.open(str(path)) as film:
        frames = [(frame.time, frame.to_ndarray()) for frame in film.decode(video=0)]
    return [(at_s - frames[0][0], samples) for at_s, samples in frames]


def nearest(frames: list[tuple[float, np.ndarray]], at_s: float) -> np.ndarray:
    return min(frames, key=lambda frame: abs(frame[0] - at_s))[1]


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.square(one.astype(np.int64) - other).mean())


def decibels(mean_squared: float) -> float:
    return 99.0 if mean_squared == 0 else min(99.0, round(10 * math.log10(255**2 / mean_squared), 2))
