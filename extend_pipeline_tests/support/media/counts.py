"""Counts of what is done with films: how often each is opened and read, and which of its frames are decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Counts:
    """What was done with each file, by its name: how often it was opened, written, read from its start, sought in, how
    many packets were read, and which instants were decoded how often."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.opened: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.demuxed: Counter[str] = Counter()
        self.packets: Counter[str] = Counter()
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


def count_av(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Count what is done with each file that is opened from now on; of streams, only those of video are seen."""
    import av

    found, open_file = Counts(), av.open

    def opened(name: Any, *rest: Any, **options: Any) -> Any:
        container = open_file(name, *rest, **options)
        if not str(name).startswith("file:"):  # a film of the tests that is being made, or a poster
            return container
        key = Path(name).name
        if rest[:1] == ("w",):
            found.written[key] += 1
            return Counted(
                container,
                add_stream_from_template=lambda template, **how: container.add_stream_from_template(
                    template.inner, **how
                ),
            )
        found.opened[key] += 1
        stream = container.streams.video[0]
        context = CountedContext(stream.codec_context, found.decoded.setdefault(key, Counter()))
        video = Counted(stream, codec_context=context, decode=context.decode)

        def demux(*_: Any) -> Iterator[Any]:
            found.demuxed[key] += 1
            for packet in container.demux(stream):
                found.packets[key] += bool(packet.size)
                yield packet

        def seek(offset: int, *, stream: Any, **how: Any) -> None:
            found.sought[key] += 1
            container.seek(offset, stream=stream.inner, **how)

        streams = Streams([video])
        streams.video, streams.audio = (video,), ()
        return Counted(container, streams=streams, demux=demux, seek=seek)

    monkeypatch.setattr(av, "open", opened)
    return found
