"""All audio that was paid for is kept: silence fills a part without audio, and only damaged packets are left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from extend_pipeline.media.join.film import Joined, join
from extend_pipeline_tests.support.media.examined import probe_of
from extend_pipeline_tests.support.media.mp4 import SAMPLE_RATE, make_clip
from extend_pipeline_tests.support.user_texts import check_user_text

if TYPE_CHECKING:
    import numpy as np

TONE = 0.1 / 2**0.5  # the level of a tone with an amplitude of 0.1
FRAME_S = 1 / 12


def clips(folder: Path, parent: dict[str, Any], segment: dict[str, Any]) -> list[Path]:
    return [
        make_clip(folder / "parent.mp4", seconds=3, **parent),
        make_clip(folder / "segment.mp4", seconds=2, start_s=3, **segment),
    ]


def joined(parts: list[Path], out: Path) -> Joined:
    outcome = join(parent=parts[0], segment=parts[1], out=out, max_bytes=50_000_000)
    assert isinstance(outcome, Joined), outcome
    probed = probe_of(out)
    assert probed.has_audio
    assert probed.duration_ms == pytest.approx(5000, abs=1)
    return outcome


def decoded_audio(path: Path) -> tuple[np.ndarray, int, int]:
    """Return the audio as a player plays it: the first channel's samples from the film's first instant on, the sampling
    rate in Hz, and the number of channels."""
    import av
    import numpy as np

    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        rate = stream.rate
        samples = np.zeros(20 * rate, dtype=np.float32)
        end = 0
        for frame in film.decode(stream):
            assert frame.time is not None
            at = round(frame.time * rate)
            assert at >= end - 1, "no audio overlaps"
            channel = frame.to_ndarray()[0]
            samples[at : at + len(channel)] = channel
            end = at + len(channel)
        return samples[:end], rate, stream.channels


def levels(samples: np.ndarray, rate: int) -> list[float]:
    """Return the level (root mean square) of each 50 ms."""
    import numpy as np

    size = rate // 20
    return [
        float(np.sqrt(np.square(samples[at : at + size].astype(float)).mean()))
        for at in range(0, len(samples) - size + 1, size)
    ]


def loud(values: list[float]) -> bool:
    return all(value == pytest.approx(TONE, rel=0.15) for value in values)


def quiet(values: list[float]) -> bool:
    return max(values) < TONE / 50


@pytest.mark.parametrize("segment", [{}, {"bframes": 2}], ids=["frames copied", "frames reencoded"])
@pytest.mark.parametrize("which", ["parent", "segment"])
def test_silence_fills_the_part_without_audio(tmp_path: Path, which: str, segment: dict[str, Any]) -> None:
    parts = clips(tmp_path, {"audio": which == "parent"}, {"audio": which == "segment"} | segment)

    outcome = joined(parts, tmp_path / "film.mp4")

    samples, rate, channels = decoded_audio(tmp_path / "film.mp4")
    level = levels(samples, rate)
    assert (rate, channels) == (SAMPLE_RATE, 1)
    assert len(samples) / rate == pytest.approx(5.0, abs=FRAME_S)
    # 50 ms on either side of the seam and of both ends are left to the encoder
    first, second = level[1:59], level[61:98]
    assert (loud(first) and quiet(second)) if which == "parent" else (quiet(first) and loud(second))
    assert not outcome.lossless
    check_user_text(outcome.note)


@pytest.mark.parametrize("where", [0, 1], ids=["parent", "segment"])
def test_the_richer_sampling_rate_and_layout_are_used_for_both_parts(tmp_path: Path, where: int) -> None:
    shapes: list[dict[str, Any]] = [{"audio": True}, {"audio": True, "audio_rate": 24_000, "stereo": True}]
    parts = clips(tmp_path, shapes[where], shapes[1 - where])

    outcome = joined(parts, tmp_path / "film.mp4")

    samples, rate, channels = decoded_audio(tmp_path / "film.mp4")
    assert (rate, channels) == (SAMPLE_RATE, 2)
    assert len(samples) / rate == pytest.approx(5.0, abs=FRAME_S)
    assert all(value > TONE / 2 for value in levels(samples, rate)[1:98]), "no gap at the seam, and none elsewhere"
    check_user_text(outcome.note)


def test_audio_neither_drifts_nor_is_cut_over_many_seams(tmp_path: Path) -> None:
    """Copied audio leaves a gap of up to one packet at each seam; re-encoded audio keeps those gaps in place."""
    parent, segment = clips(tmp_path, {"audio": True}, {"audio": True})
    for number in range(3):
        outcome = join(parent=parent, segment=segment, out=tmp_path / f"{number}.mp4", max_bytes=50_000_000)
        assert isinstance(outcome, Joined)
        assert outcome.lossless
        parent = tmp_path / f"{number}.mp4"
    silent = make_clip(tmp_path / "silent.mp4", seconds=2)
    last = make_clip(tmp_path / "last.mp4", seconds=2, audio=True)
    for number, part in enumerate((silent, last), start=3):
        assert isinstance(
            join(parent=parent, segment=part, out=tmp_path / f"{number}.mp4", max_bytes=50_000_000), Joined
        )
        parent = tmp_path / f"{number}.mp4"

    samples, rate, _ = decoded_audio(parent)

    level = levels(samples, rate)
    assert len(samples) / rate == pytest.approx(13.0, abs=FRAME_S)
    assert quiet(level[181:219]), "the hop without audio, from 9 s to 11 s"
    assert loud(level[222:258])
    assert level[178] > TONE / 4


@pytest.mark.parametrize("damaged", [0, 1], ids=["parent", "segment"])
def test_a_damaged_track_alone_is_left_out_and_the_other_is_kept(tmp_path: Path, damaged: int) -> None:
    parts = clips(tmp_path, {"audio": True}, {"audio": True, "audio_rate": 44_100})
    spoil_audio(parts[damaged])

    outcome = joined(parts, tmp_path / "film.mp4")

    samples, rate, _ = decoded_audio(tmp_path / "film.mp4")
    level = levels(samples, rate)
    first, second = level[1:59], level[61:98]
    assert (quiet(first) and loud(second)) if damaged == 0 else (loud(first) and quiet(second))
    check_user_text(outcome.note)


def test_two_damaged_tracks_give_a_film_without_audio_and_a_note(tmp_path: Path) -> None:
    parts = clips(tmp_path, {"audio": True}, {"audio": True, "audio_rate": 44_100})
    for part in parts:
        spoil_audio(part)

    outcome = join(parent=parts[0], segment=parts[1], out=tmp_path / "film.mp4", max_bytes=50_000_000)

    assert isinstance(outcome, Joined)
    probed = probe_of(tmp_path / "film.mp4")
    assert not probed.has_audio
    assert not outcome.lossless
    check_user_text(outcome.note)


def test_the_valid_packets_of_a_half_damaged_track_stay(tmp_path: Path) -> None:
    parts = clips(tmp_path, {"audio": True}, {"audio": True, "audio_rate": 44_100})
    spoil_audio(parts[0], from_s=1.5)

    outcome = joined(parts, tmp_path / "film.mp4")

    samples, rate, _ = decoded_audio(tmp_path / "film.mp4")
    level = levels(samples, rate)
    assert loud(level[1:28])
    assert quiet(level[32:59])
    assert loud(level[61:98])
    check_user_text(outcome.note)


def spoil_audio(path: Path, *, from_s: float = 0.0) -> None:
    """Overwrite the audio packets from `from_s` on with bytes that no decoder accepts."""
    import av

    data = bytearray(path.read_bytes())
    with av.open(str(path)) as clip:
        for packet in clip.demux(audio=0):
            if packet.size and packet.pts * packet.time_base >= from_s - 0.05 * (not from_s):
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
