"""Chosen frames of a clip, by their instant, decoding no more of the file than they need."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from extend_pipeline.media.libav import FrameError, end_of, open_video
from extend_pipeline.media.upright import upright

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class Clip:
    """An open clip. `ticks` are the instants of its frames in order, `keys` those a decoder can start at,
    `end` where the last frame stops, all in ticks of `tick_s` seconds."""

    container: InputContainer
    stream: VideoStream
    ticks: Sequence[int]
    keys: Sequence[int]
    end: int
    tick_s: Fraction

    def at_s(self, index: int) -> float:
        """Return the instant of a frame in seconds after the first one."""
        return float((self.ticks[index] - self.ticks[0]) * self.tick_s)

    @property
    def duration_s(self) -> float:
        """From the first frame's start to the last one's end."""
        return float((self.end - self.ticks[0]) * self.tick_s)

    def nearest(self, at_s: float) -> int:
        """Return the frame whose start is nearest to an instant, in seconds after the first frame."""
        wanted = self.ticks[0] + Fraction(at_s) / self.tick_s
        after = bisect_left(self.ticks, wanted)
        around = [index for index in (after - 1, after) if 0 <= index < len(self.ticks)]
        return min(around, key=lambda index: abs(self.ticks[index] - wanted))

    def first_from(self, at_s: float) -> int | None:
        """Return the first frame that starts at an instant or later; None where there is none."""
        index = bisect_left(self.ticks, self.ticks[0] + Fraction(at_s) / self.tick_s)
        return index if index < len(self.ticks) else None

    def frames(self, indexes: Iterable[int]) -> dict[int, VideoFrame]:
        """Return the decoded frames as a viewer sees them, by index. FrameError where one can't be decoded."""
        wanted = {self.ticks[index]: index for index in indexes}
        found: dict[int, VideoFrame] = {}
        for group in self._groups(sorted(wanted)):
            found |= self._decode(start=group[0], wanted=set(group))
        # In an open group the frames shown before its keyframe need the group before: then from the beginning. In a
        # transport stream that is found only by an instant before it.
        for early_s in (0, 10):
            if missing := set(wanted) - set(found):
                found |= self._decode(start=self.ticks[0] - round(early_s / self.tick_s), wanted=missing)
        if missing := set(wanted) - set(found):
            lost = float((min(missing) - self.ticks[0]) * self.tick_s)
            raise FrameError(f"the picture at {lost:.2f} s can't be decoded")
        return {wanted[tick]: upright(frame) for tick, frame in found.items()}

    def _groups(self, ticks: Sequence[int]) -> list[list[int]]:
        """Return the wanted instants, those together that one keyframe serves: a seek between them would decode
        twice."""
        groups: dict[int, list[int]] = {}
        for tick in ticks:
            groups.setdefault(bisect_right(self.keys, tick), []).append(tick)
        return list(groups.values())

    def _decode(self, *, start: int, wanted: set[int]) -> dict[int, VideoFrame]:
        """Seek to the keyframe at or before `start` and decode forward until all of `wanted` are found, or the end."""
        found: dict[int, VideoFrame] = {}
        self.container.seek(start, stream=self.stream, backward=True)
        for frame in self.container.decode(self.stream):
            if frame.pts in wanted and frame.pts not in found and not frame.is_corrupt:
                found[frame.pts] = frame
                if len(found) == len(wanted):
                    break
        return found


@contextmanager
def open_clip(path: Path) -> Iterator[Clip]:
    """Open a clip and list its frames' instants, without decoding one. FrameError, OSError."""
    with open_video(path) as (container, stream):
        shown = [
            (packet.pts, packet.duration or 0, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard
        ]
        if not shown or stream.time_base is None:
            raise FrameError("there are no pictures in the file")
        ticks = sorted({tick for tick, _, _ in shown})
        keys = sorted(tick for tick, _, is_key in shown if is_key)
        end = end_of([(tick, duration) for tick, duration, _ in shown])
        yield Clip(container, stream, ticks, keys, end, stream.time_base)
