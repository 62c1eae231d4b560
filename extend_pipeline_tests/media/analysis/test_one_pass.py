"""A result is opened once, read once, and no frame of it is decoded twice; a parent whose frames were kept is not
opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import Examined, ResultContext, examine
from extend_pipeline.media.check.probe import check_file
from extend_pipeline_tests.support.media.mp4 import extend_clip, make_clip

FPS, KEYFRAME_EVERY = 12, 24


class Counts:
    """What was done with each file, by its name: how often it was opened, read from its start, sought in, and which
    instants were decoded how often."""

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        self.demuxed: Counter[str] = Counter()
        self.sought: Counter[str] = Counter()
        self.decoded: dict[str, Counter[int]] = {}


class CountedContext:
    """A codec context that counts the frames that it returns."""

    def __init__(self, context: Any, decoded: Counter[int]) -> None:
        object.__setattr__(self, "_inner", (context, decoded))

    def decode(self, packet: Any = None) -> list[Any]:
        context, decoded = self._inner
        frames = context.decode(packet)
        decoded.update(frame.pts for frame in frames)
        return frames  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner[0], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._inner[0], name, value)


class Counted:
    """A stream or container whose attributes are those of another, but for the given ones."""

    def __init__(self, inner: Any, **own: Any) -> None:
        self.inner, self.__dict__ = inner, {"inner": inner, **own}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __enter__(self) -> Counted:
        self.inner.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.inner.__exit__(*raised)


class Streams(list[Any]):
    """The streams of a container."""

    video: tuple[Any, ...]
    audio: tuple[Any, ...]


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    import av

    found, open_file = Counts(), av.open

    def opened(name: Any, *rest: Any, **options: Any) -> Any:
        container = open_file(name, *rest, **options)
        if not str(name).startswith("file:"):  # a film of the tests that is being made, or a poster
            return container
        key = Path(name).name
        found.opened[key] += 1
        stream = container.streams.video[0]
        context = CountedContext(stream.codec_context, found.decoded.setdefault(key, Counter()))
        video = Counted(stream, codec_context=context, decode=context.decode)

        def demux(*_: Any) -> Iterator[Any]:
            found.demuxed[key] += 1
            yield from container.demux(stream)

        def seek(offset: int, *, stream: Any, **how: Any) -> None:
            found.sought[key] += 1
            container.seek(offset, stream=stream.inner, **how)

        streams = Streams([video])
        streams.video, streams.audio = (video,), ()
        return Counted(container, streams=streams, demux=demux, seek=seek)

    monkeypatch.setattr(av, "open", opened)
    return found


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
    counts.opened.clear()
    counts.demuxed.clear()
    counts.sought.clear()
    counts.decoded.clear()

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
