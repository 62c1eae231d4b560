"""Selected frames of a film by their instant, decoded without reading the whole file."""

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
class FrameReader:
    """Read frames of an open film. `ticks` are the instants of its frames in order, `keys` those of keyframes, `end` is
    where the last frame stops, all in ticks of `tick_s` seconds."""

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
        """Return the seconds from the first frame's start to the last one's end."""
        return float((self.end - self.ticks[0]) * self.tick_s)

    def nearest(self, at_s: float) -> int:
        """Return the index of the frame whose start is nearest to an instant, in seconds after the first frame."""
        target = self.ticks[0] + Fraction(at_s) / self.tick_s
        after = bisect_left(self.ticks, target)
        neighbours = [index for index in (after - 1, after) if 0 <= index < len(self.ticks)]
        return min(neighbours, key=lambda index: abs(self.ticks[index] - target))

    def first_from(self, at_s: float) -> int | None:
        """Return the index of the first frame that starts at an instant or later, None if no frame does."""
        index = bisect_left(self.ticks, self.ticks[0] + Fraction(at_s) / self.tick_s)
        return index if index < len(self.ticks) else None

    def frames(self, indexes: Iterable[int]) -> dict[int, VideoFrame]:
        """Return the decoded frames, upright, by index. Raises FrameError if one can't be decoded."""
        requested = {self.ticks[index]: index for index in indexes}
        decoded: dict[int, VideoFrame] = {}
        for group in self._groups(sorted(requested)):
            decoded |= self._decode(start=group[0], ticks=set(group))
        # In an open GOP the frames before its keyframe need the GOP before, so decode from the beginning; a transport
        # stream finds its beginning only by an earlier instant.
        for early_s in (0, 10):
            if missing := set(requested) - set(decoded):
                decoded |= self._decode(start=self.ticks[0] - round(early_s / self.tick_s), ticks=missing)
        if missing := set(requested) - set(decoded):
            first_s = float((min(missing) - self.ticks[0]) * self.tick_s)
            raise FrameError(f"the video frame at {first_s:.2f} s can't be decoded")
        return {requested[tick]: upright(frame) for tick, frame in decoded.items()}

    def _groups(self, ticks: Sequence[int]) -> list[list[int]]:
        """Group instants by their keyframe, because a seek between two of one group would decode frames twice."""
        groups: dict[int, list[int]] = {}
        for tick in ticks:
            groups.setdefault(bisect_right(self.keys, tick), []).append(tick)
        return list(groups.values())

    def _decode(self, *, start: int, ticks: set[int]) -> dict[int, VideoFrame]:
        """Decode from the keyframe at or before `start` until all of `ticks` are decoded, or to the end."""
        decoded: dict[int, VideoFrame] = {}
        self.container.seek(start, stream=self.stream, backward=True)
        for frame in self.container.decode(self.stream):
            if frame.pts in ticks and frame.pts not in decoded and not frame.is_corrupt:
                decoded[frame.pts] = frame
                if len(decoded) == len(ticks):
                    break
        return decoded


@contextmanager
def open_frames(path: Path) -> Iterator[FrameReader]:
    """Open a film and list its frames' instants, without decoding any. Raises FrameError, OSError."""
    with open_video(path) as (container, stream):
        shown = [
            (packet.pts, packet.duration or 0, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.pts is not None and not packet.is_discard
        ]
        if not shown or stream.time_base is None:
            raise FrameError("there are no video frames in the file")
        ticks = sorted({tick for tick, _, _ in shown})
        keys = sorted(tick for tick, _, is_key in shown if is_key)
        end = end_of([(tick, duration) for tick, duration, _ in shown])
        yield FrameReader(container, stream, ticks, keys, end, stream.time_base)
