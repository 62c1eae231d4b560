"""The one place that opens a file with libav, and opens it safely.

libav's own log is left off (PyAV's default): what went wrong is told by the exceptions and by `probe.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from extend_pipeline.media.check.container import NoFilm, recognise
from extend_pipeline.media.check.movie import MAX_TRACKS

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


class FrameError(Exception):
    """The file's frames can't be read; the message is a sentence for a person."""


@contextmanager
def open_video(path: Path, *, edits: bool = True) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yield the opened file and its first stream of moving pictures; closed afterwards, whatever happens.

    `edits=False` ignores edit lists, so that every stored packet is seen. Whatever the content does to libav, in
    here or in the caller's block, comes out as FrameError; OSError where the file can't be read at all.
    """
    import av

    kind = recognise(path)  # a missing or forbidden file is an OSError of this process, not a fault of the content
    if isinstance(kind, NoFilm):
        raise FrameError(kind.reason)
    # The format is forced and only files are allowed: a play list that calls itself .mp4 would make libav fetch URLs.
    options = {"protocol_whitelist": "file", "format_whitelist": kind.demuxer}
    if not edits:
        options["ignore_editlist"] = "1"
    try:
        with av.open(
            f"file:{path}", "r", format=kind.demuxer, container_options=options, metadata_errors="replace"
        ) as container:
            if len(container.streams) > MAX_TRACKS:
                raise FrameError(f"the file has more than {MAX_TRACKS} tracks, the most allowed")
            stream = next((s for s in container.streams.video if not s.disposition & s.disposition.attached_pic), None)
            if stream is None:
                raise FrameError("there is no video stream in the file")
            if stream.codec_context is None:
                raise FrameError("the video is coded in a way that is not known here")
            # Small files, several processes: starting threads costs more than they give back.
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.FFmpegError, ValueError, ArithmeticError) as error:
        raise FrameError(f"the pictures can't be read: {_words(error)}") from error


def end_of(spans: Sequence[tuple[int, int]]) -> int:
    """Return when the last frame stops, from start and length of each: one without a length stays as long as the one
    before it, since some containers don't say."""
    ends = max(start + length for start, length in spans)
    *_, before, last = sorted({start for start, _ in spans} | {min(start for start, _ in spans) - 1})
    return ends if ends > last or len(spans) < 2 else last + (last - before)


def _words(error: Exception) -> str:
    """Return what libav said, without the errno and the local path that its exceptions carry."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
