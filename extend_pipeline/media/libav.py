"""Safe opening of files with libav; no other module opens one.

libav's own log stays off (PyAV's default), because exceptions and `probe.py` report what went wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from extend_pipeline.media.check.container import Container, NotVideo, recognise
from extend_pipeline.media.check.movie import MAX_TRACKS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


class FrameError(Exception):
    """The file's frames can't be read; the message is a sentence for a person."""


@contextmanager
def reading() -> Iterator[None]:
    """Raise FrameError instead of any error that a file's content causes in libav."""
    import av

    try:
        yield
    except (av.FFmpegError, ValueError, ArithmeticError) as error:
        # libav's text without the errno and the local path that its exceptions carry
        message = getattr(error, "strerror", None) or error or type(error).__name__
        raise FrameError(f"the video can't be read: {message}") from error


@contextmanager
def open_video(
    path: Path, *, kind: Container | NotVideo | None = None, edits: bool = True
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yield the opened file and its first video stream (no cover art), and close it afterwards.

    `kind` is what `recognise` has returned for it. `edits=False` ignores edit lists, so that every stored packet is
    seen. Raises FrameError for any error that the content causes in libav, here or in the caller's block; OSError if
    the file can't be read.
    """
    import av

    # a missing or forbidden file is an OSError of this process, not a fault of the content
    kind = kind or recognise(path)
    if isinstance(kind, NotVideo):
        raise FrameError(kind.reason)
    # The format is forced and only files are allowed, because a play list named .mp4 would make libav fetch URLs.
    options = {"protocol_whitelist": "file", "format_whitelist": kind.demuxer}
    if not edits:
        options["ignore_editlist"] = "1"
    with (
        reading(),
        av.open(
            f"file:{path}", "r", format=kind.demuxer, container_options=options, metadata_errors="replace"
        ) as container,
    ):
        if len(container.streams) > MAX_TRACKS:
            raise FrameError(f"the file has more than {MAX_TRACKS} tracks, the most allowed")
        stream = next((s for s in container.streams.video if not s.disposition & s.disposition.attached_pic), None)
        if stream is None:
            raise FrameError("there is no video stream in the file")
        if stream.codec_context is None:
            raise FrameError("the video's codec is not supported")
        # The files are small and several processes run: threads would cost more than they save.
        stream.codec_context.thread_count = 1
        yield container, stream


def end_of(spans: Sequence[tuple[int, int]]) -> int:
    """Return when the last frame stops, from the start and length of each frame. A last frame without a length counts
    as long as the one before it, because some containers don't give lengths."""
    end = max(start + length for start, length in spans)
    *_, before, last = sorted({start for start, _ in spans} | {min(start for start, _ in spans) - 1})
    return end if end > last or len(spans) < 2 else last + (last - before)
