"""Pairs of a film and a result that continues it, one for each way in which the two can be related."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline_tests.support.media.containers import RECIPES, make
from extend_pipeline_tests.support.media.mp4 import cut, extend_clip, make_clip


@dataclass(frozen=True, slots=True)
class Pair:
    """A parent, the result that continues it, and the parent's length as the ledger has it (ms)."""

    parent: Path
    result: Path
    parent_ms: int | None = 4_000


def _short(folder: Path) -> Path:
    return make_clip(folder / "parent.mp4", seconds=4, bframes=2)


def _exact(folder: Path) -> Pair:
    parent = _short(folder)
    return Pair(parent, extend_clip(parent, folder / "result.mp4", seconds=5))


def _drawn_again(folder: Path, **shape: int) -> Pair:
    return Pair(_short(folder), make_clip(folder / "result.mp4", seconds=6, **shape))  # type: ignore[arg-type]


def _segment(folder: Path, seconds: float) -> Pair:
    return Pair(_short(folder), make_clip(folder / "result.mp4", seconds=seconds, start_s=4))


def _ends_alike(folder: Path) -> Pair:
    parent = _short(folder)
    beginning = make_clip(folder / "beginning.mp4", seconds=3, start_s=20)
    return Pair(parent, extend_clip(beginning, folder / "result.mp4", seconds=3, hue=0.3))


def _two_frames(folder: Path) -> Pair:
    parent = make_clip(folder / "parent.mp4", seconds=2 / 12)
    return Pair(parent, extend_clip(parent, folder / "result.mp4", seconds=1), 167)


def _many_keyframes(folder: Path, *, bframes: int) -> Pair:
    parent = make_clip(folder / "parent.mp4", seconds=12, keyframe_every=14, bframes=bframes)
    return Pair(parent, extend_clip(parent, folder / "result.mp4", seconds=3), 12_000)


def _turned(folder: Path) -> Pair:
    parent = make_clip(folder / "parent.mp4", seconds=2, turned=90)
    return Pair(parent, make_clip(folder / "result.mp4", seconds=4, turned=90), 2_000)


def _uneven_rate(folder: Path) -> Pair:
    parent = make_clip(folder / "parent.mp4", seconds=4, every_other_twice_as_long=True)
    return Pair(parent, make_clip(folder / "result.mp4", seconds=6))


def _broken(folder: Path, name: str) -> Pair:
    pair = _exact(folder)
    cut(getattr(pair, name), 0.05)
    return pair


def _in_container(folder: Path, name: str) -> Pair:
    recipe = RECIPES[name]
    return Pair(make(folder / "parent.mp4", recipe), make(folder / "result.mp4", recipe, seconds=3), 2_000)


def _same(folder: Path) -> Pair:
    parent = _short(folder)
    return Pair(parent, Path(shutil.copy(parent, folder / "result.mp4")))


PAIRS: Final[Mapping[str, Callable[[Path], Pair]]] = {
    "an exact extension": _exact,
    "coded again": lambda folder: _drawn_again(folder, noise=6),
    "at another rate": lambda folder: _drawn_again(folder, fps=24),
    "with other keyframes": lambda folder: _drawn_again(folder, keyframe_every=5),
    "of another size": lambda folder: _drawn_again(folder, size=(640, 360)),  # type: ignore[arg-type]
    "another film": lambda folder: Pair(_short(folder), make_clip(folder / "r.mp4", seconds=9, hue=0.9, start_s=3)),
    "ends alike": _ends_alike,
    "a longer segment": lambda folder: _segment(folder, 5),
    "a shorter segment": lambda folder: _segment(folder, 2),
    "the parent as it was": _same,
    "two frames": _two_frames,
    "many keyframes": lambda folder: _many_keyframes(folder, bframes=0),
    "many keyframes and B-frames": lambda folder: _many_keyframes(folder, bframes=2),
    "turned": _turned,
    "an uneven rate": _uneven_rate,
    "a broken result": lambda folder: _broken(folder, "result"),
    "a broken parent": lambda folder: _broken(folder, "parent"),
    **{f"in {name}": (lambda folder, name=name: _in_container(folder, name)) for name in RECIPES},  # type: ignore[misc]
}
