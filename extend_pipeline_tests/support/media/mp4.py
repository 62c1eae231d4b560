"""Small real MP4 files, written with PyAV: clips, exact extensions of clips, and truncated clips."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer

TICKS = 30_720  # per second, of the video track; a multiple of the frame rates 8, 10, 12, 15, 16, 24, 30 and 60
SAMPLE_RATE = 48_000


def make_clip(
    path: Path,
    *,
    seconds: float,
    fps: int = 12,
    size: tuple[int, int] = (320, 180),
    hue: float = 0.3,
    faststart: bool = True,
    audio: bool = False,
    start_s: float = 0.0,
    keyframe_every: int = 250,
    bframes: int = 0,
    fragmented: bool = False,
    every_other_twice_as_long: bool = False,
    noise: int = 0,
    audio_rate: int = SAMPLE_RATE,
    stereo: bool = False,
    turned: int | None = None,
    mirrored: bool = False,
) -> Path:
    """Write `round(seconds * fps)` frames of H.264 and return `path`.

    A bar travels and the texture scrolls, so no two instants within 10 s look alike; `hue` (0-1) tints the clip and
    `start_s` is the first instant drawn (s), so that a later part continues an earlier one. `noise` (0-255)
    makes the file larger. `every_other_twice_as_long` gives a variable frame rate: every odd frame lasts for two
    frame times, and there are a third fewer of them. `turned` (degrees, counter-clockwise) and `mirrored` mark the film
    for its players, and leave the stored frames as they are.
    """
    import av

    movflags = "frag_keyframe+empty_moov+default_base_moof" if fragmented else ("+faststart" if faststart else "")
    with av.open(str(path), "w", format="mp4", options={"movflags": movflags} if movflags else {}) as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        if turned is not None or mirrored:
            stream.set_display_rotation(turned or 0, hflip=mirrored)
        stream.time_base = Fraction(1, TICKS)
        stream.codec_context.time_base = Fraction(1, TICKS)
        stream.codec_context.gop_size = keyframe_every
        stream.codec_context.thread_count = 1
        stream.options = {
            "preset": "ultrafast" if not bframes else "veryfast",
            "crf": "26",
            "bf": str(bframes),
            "sc_threshold": "0",
            "x264-params": "level=31",  # fixed, so that parts made apart share their parameter sets
        }
        tone = None
        if audio:
            tone = out.add_stream("aac", rate=audio_rate)
            tone.layout = "stereo" if stereo else "mono"
        frame_ticks = TICKS // fps
        total = round(seconds * fps)
        position = 0
        number = 0
        while position < total:
            length = 2 if every_other_twice_as_long and number % 2 else 1
            length = min(length, total - position)
            frame = av.VideoFrame.from_ndarray(
                _draw_frame(start_s + position / fps, size=size, hue=hue, noise=noise), format="yuv420p"
            )
            frame.pts = position * frame_ticks
            frame.time_base = Fraction(1, TICKS)
            frame.duration = length * frame_ticks
            out.mux(stream.encode(frame))
            position += length
            number += 1
        out.mux(stream.encode(None))
        if tone is not None:
            _write_tone(out, tone, seconds=total / fps, rate=audio_rate)
    return path


def extend_clip(parent: Path, path: Path, *, seconds: float, hue: float = 0.6, noise: int = 0) -> Path:
    """Write `parent` plus `seconds` of new frames and return `path`.

    The parent's packets are copied, so its decoded frames are an exact prefix of the result's.
    """
    import av

    with av.open(str(parent)) as source, tempfile.TemporaryDirectory() as folder:
        video = source.streams.video[0]
        fps = round(float(video.average_rate or 12))
        parent_s = _length_s(source)
        added = make_clip(
            Path(folder) / "added.mp4",
            seconds=seconds,
            fps=fps,
            size=(video.width, video.height),
            hue=hue,
            audio=bool(source.streams.audio),
            start_s=float(parent_s),
            bframes=2 if video.codec_context.has_b_frames else 0,
            noise=noise,
        )
        source.seek(0)
        with (
            av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as out,
            av.open(str(added)) as tail,
        ):
            targets = {s.type: out.add_stream_from_template(s) for s in source.streams if s.type in ("video", "audio")}
            ends: dict[str, Fraction] = {}
            for packet in source.demux():
                if packet.dts is not None and packet.stream.type in targets:
                    kind = packet.stream.type
                    ends[kind] = (packet.dts + (packet.duration or 0)) * packet.time_base
                    packet.stream = targets[kind]
                    out.mux(packet)
            shifts: dict[str, Fraction] = {"video": parent_s}
            for packet in tail.demux():
                if packet.dts is not None and packet.stream.type in targets:
                    kind = packet.stream.type
                    # audio follows packet by packet, because the encoder's priming would overlap otherwise
                    shift_s = shifts.setdefault(kind, ends[kind] - packet.dts * packet.time_base)
                    shift = round(shift_s / packet.time_base)
                    packet.pts = packet.pts + shift if packet.pts is not None else None
                    packet.dts = packet.dts + shift
                    packet.stream = targets[kind]
                    out.mux(packet)
    return path


def cut(path: Path, fraction: float) -> Path:
    """Truncate the file in place to a fraction of its bytes, as an interrupted download would, and return `path`."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


def _draw_frame(at_s: float, *, size: tuple[int, int], hue: float, noise: int) -> np.ndarray:
    """Return one frame as planar yuv420p of shape (height * 3 / 2, width)."""
    import numpy as np

    width, height = size
    x = np.arange(width)[None, :]
    y = np.arange(height)[:, None]
    luma = (110 + 70 * np.sin((x + 90 * at_s) / 17.0) * np.cos((y + 40 * at_s) / 13.0)).astype(np.int16)
    bar = int(at_s / 10 * width) % width
    luma[:, bar : bar + max(4, width // 20)] = 235
    if noise:
        rng = np.random.default_rng(int(at_s * 1000))
        luma = luma + rng.integers(-noise, noise + 1, size=luma.shape, dtype=np.int16)
    angle = 2 * np.pi * hue
    chroma = (height // 2) * (width // 2)
    planes = [
        np.clip(luma, 16, 235).astype(np.uint8).reshape(-1),
        np.full(chroma, 128 + int(60 * np.cos(angle)), dtype=np.uint8),
        np.full(chroma, 128 + int(60 * np.sin(angle)), dtype=np.uint8),
    ]
    return np.concatenate(planes).reshape(height * 3 // 2, width)


def _write_tone(out: OutputContainer, stream: AudioStream, *, seconds: float, rate: int) -> None:
    """Encode a quiet 440 Hz tone into the AAC stream."""
    import av
    import numpy as np

    total = int(seconds * rate)
    for start in range(0, total, 1024):
        at = np.arange(start, min(start + 1024, total)) / rate
        wave = (0.1 * np.sin(2 * np.pi * 440 * at)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(
            np.stack([wave] * stream.layout.nb_channels), format="fltp", layout=stream.layout.name
        )
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = start
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _length_s(container: InputContainer) -> Fraction:
    """Return the length in seconds of the first video stream by its packets; read the container to its end."""
    stream = container.streams.video[0]
    assert stream.time_base is not None
    ends = [p.pts + (p.duration or 0) for p in container.demux(stream) if p.pts is not None]
    return max(ends) * stream.time_base - (stream.start_time or 0) * stream.time_base
