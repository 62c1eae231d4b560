"""The one place that opens a file with libav, and opens it safely.

libav's own log is left off (PyAV's default): what went wrong is told by the exceptions and by `probe.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


class PictureError(Exception):
    """The file's pictures can't be read; the message is a sentence for a person."""


@contextmanager
def open_video(path: Path, *, edits: bool = True) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The opened file and its first stream of moving pictures; closed afterwards, whatever happens.

    `edits=False` ignores edit lists, so that every stored packet is seen. Whatever the content does to libav, in
    here or in the caller's block, comes out as PictureError; OSError where the file can't be read at all.
    """
    import av

    with path.open("rb"):
        pass  # a missing or forbidden file is an OSError of this process, not a fault of the content
    # The format is forced and only files are allowed: a play list that calls itself .mp4 would make libav fetch URLs.
    options = {"protocol_whitelist": "file"} | ({} if edits else {"ignore_editlist": "1"})
    try:
        with av.open(
            f"file:{path}", "r", format="mp4", container_options=options, metadata_errors="replace"
        ) as container:
            stream = next((s for s in container.streams.video if not s.disposition & s.disposition.attached_pic), None)
            if stream is None:
                raise PictureError("there is no video stream in the file")
            if stream.codec_context is None:
                raise PictureError("the video is coded in a way that is not known here")
            # Small files, several processes: starting threads costs more than they give back.
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.FFmpegError, ValueError, ArithmeticError) as error:
        raise PictureError(f"the pictures can't be read: {_words(error)}") from error


def _words(error: Exception) -> str:
    """What libav said, without the errno and the local path that its exceptions carry."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
