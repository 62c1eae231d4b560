"""The same small film in every container that a result may have, written by libav's own muxers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Recipe:
    """Describe one container: its muxer, its codecs, and the suffix that the store must give the file.

    `sees_any_cut`: the structure or the declared length reveals every cut, not only one within a packet.
    """

    muxer: str
    video: str
    audio: str | None
    suffix: str
    b_frames: int = 0
    options: tuple[tuple[str, str], ...] = ()
    sees_any_cut: bool = True


RECIPES: Final[Mapping[str, Recipe]] = {
    "webm vp9": Recipe("webm", "libvpx-vp9", "libopus", ".webm"),
    "webm vp8": Recipe("webm", "libvpx", "libopus", ".webm"),
    "live webm": Recipe("webm", "libvpx", None, ".webm", options=(("live", "1"),), sees_any_cut=False),
    "matroska": Recipe("matroska", "libx264", "aac", ".mkv", 2),
    "quicktime": Recipe("mov", "libx264", "pcm_s16le", ".mov", 2),
    "fragmented": Recipe("mp4", "libx264", "aac", ".mp4", options=(("movflags", "frag_keyframe+empty_moov"),)),
    "3gp": Recipe("3gp", "libx264", None, ".3gp"),
    "avi": Recipe("avi", "libx264", "pcm_s16le", ".avi", 2),
    "avi mpeg4": Recipe("avi", "mpeg4", None, ".avi"),
    "transport stream": Recipe("mpegts", "libx264", "aac", ".ts", 2, sees_any_cut=False),
    "flash": Recipe("flv", "libx264", "aac", ".flv", 2),
    "ogg": Recipe("ogg", "libvpx", "libopus", ".ogv"),
    "windows media": Recipe("asf", "mpeg4", None, ".wmv"),
    "program stream": Recipe("mpeg", "mpeg2video", None, ".mpg", sees_any_cut=False),
}


def make(path: Path, recipe: Recipe, *, seconds: float = 2, start_s: float = 0, rate: int = 24) -> Path:
    """Write a film of 160 x 96 pixels, with a tone where the recipe has audio, and return `path`."""
    import av
    import numpy as np

    with av.open(str(path), "w", format=recipe.muxer, options=dict(recipe.options)) as out:
        stream = out.add_stream(recipe.video, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.codec_context.gop_size = 12
        stream.codec_context.thread_count = 1
        stream.options = {"bf": str(recipe.b_frames)} if recipe.b_frames else {}
        tone = None if recipe.audio is None else out.add_stream(recipe.audio, rate=48_000)
        if tone is not None:
            tone.layout = "mono"
        x, y = np.arange(160)[None, :], np.arange(96)[:, None]
        for number in range(round(seconds * rate)):
            at_s = start_s + number / rate
            luma = (110 + 70 * np.sin((x + 90 * at_s) / 17.0) * np.cos((y + 40 * at_s) / 13.0)).astype(np.uint8)
            planes = np.concatenate([luma, np.full((48, 160), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if tone is not None:
            size = tone.codec_context.frame_size or 1024
            resampler = av.AudioResampler(tone.codec_context.format.name, "mono", 48_000)
            total = int(seconds * 48_000)
            for at in range(0, total, size):
                wave = 0.1 * np.sin(2 * np.pi * 440 * np.arange(at, min(at + size, total)) / 48_000)
                samples = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None, :], format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 48_000, at, Fraction(1, 48_000)
                for resampled in resampler.resample(samples):
                    out.mux(tone.encode(resampled))
            out.mux(tone.encode(None))
    return path
