"""No sound that was paid for is thrown away: silence fills what has none, and only what is damaged is left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from extend_pipeline.media.check.probe import Probe, probe
from extend_pipeline.media.join.film import Joined, join
from extend_pipeline_tests.support.media.mp4 import SAMPLE_RATE, make_clip
from extend_pipeline_tests.support.user_texts import check_user_text

if TYPE_CHECKING:
    import numpy as np

TONE = 0.1 / 2**0.5  # the level of a tone with an amplitude of 0.1
PICTURE_S = 1 / 12


def clips(folder: Path, parent: dict[str, Any], segment: dict[str, Any]) -> list[Path]:
    return [
        make_clip(folder / "parent.mp4", seconds=3, **parent),
        make_clip(folder / "segment.mp4", seconds=2, start_s=3, **segment),
    ]


def joined(parts: list[Path], out: Path) -> Joined:
    made = join(parent=parts[0], segment=parts[1], out=out, max_bytes=50_000_000)
    assert isinstance(made, Joined), made
    probed = probe(out)
    assert isinstance(probed, Probe)
    assert probed.has_audio
    assert probed.duration_ms == pytest.approx(5000, abs=1)
    return made


def heard(path: Path) -> tuple[np.ndarray, int, int]:
    """The sound as a player plays it: samples of the first channel from the film's first instant on, the sampling rate,
    and the number of channels."""
    import av
    import numpy as np

    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        rate = stream.rate
        sound = np.zeros(20 * rate, dtype=np.float32)
        end = 0
        for frame in film.decode(stream):
            assert frame.time is not None
            at = round(frame.time * rate)
            assert at >= end - 1, "nothing is heard twice"
            samples = frame.to_ndarray()[0]
            sound[at : at + len(samples)] = samples
            end = at + len(samples)
        return sound[:end], rate, stream.channels


def levels(sound: np.ndarray, rate: int) -> list[float]:
    """The level of each 50 ms."""
    import numpy as np

    size = rate // 20
    return [
        float(np.sqrt(np.square(sound[at : at + size].astype(float)).mean()))
        for at in range(0, len(sound) - size + 1, size)
    ]


def loud(values: list[float]) -> bool:
    return all(value == pytest.approx(TONE, rel=0.15) for value in values)


def quiet(values: list[float]) -> bool:
    return max(values) < TONE / 50


@pytest.mark.parametrize("segment", [{}, {"bframes": 2}], ids=["pictures copied", "pictures coded again"])
@pytest.mark.parametrize("which", ["parent", "segment"])
def test_silence_fills_the_part_without_audio(tmp_path: Path, which: str, segment: dict[str, Any]) -> None:
    parts = clips(tmp_path, {"audio": which == "parent"}, {"audio": which == "segment"} | segment)

    made = joined(parts, tmp_path / "film.mp4")

    sound, rate, channels = heard(tmp_path / "film.mp4")
    level = levels(sound, rate)
    assert (rate, channels) == (SAMPLE_RATE, 1)
    assert len(sound) / rate == pytest.approx(5.0, abs=PICTURE_S)
    # 50 ms on either side of the seam and of both ends are left to the encoder
    first, second = level[1:59], level[61:98]
    assert (loud(first) and quiet(second)) if which == "parent" else (quiet(first) and loud(second))
    assert not made.lossless
    check_user_text(made.note)


@pytest.mark.parametrize("where", [0, 1], ids=["parent", "segment"])
def test_the_richer_sampling_rate_and_layout_are_used_for_both_parts(tmp_path: Path, where: int) -> None:
    shapes: list[dict[str, Any]] = [{"audio": True}, {"audio": True, "sound_rate": 24_000, "stereo": True}]
    parts = clips(tmp_path, shapes[where], shapes[1 - where])

    made = joined(parts, tmp_path / "film.mp4")

    sound, rate, channels = heard(tmp_path / "film.mp4")
    assert (rate, channels) == (SAMPLE_RATE, 2)
    assert len(sound) / rate == pytest.approx(5.0, abs=PICTURE_S)
    assert all(value > TONE / 2 for value in levels(sound, rate)[1:98]), "no gap at the seam, and none elsewhere"
    check_user_text(made.note)


def test_audio_neither_drifts_nor_is_cut_over_many_seams(tmp_path: Path) -> None:
    """Copied sound leaves up to a packet of nothing at each seam; what is coded again keeps those gaps in place."""
    parent, segment = clips(tmp_path, {"audio": True}, {"audio": True})
    for number in range(3):
        made = join(parent=parent, segment=segment, out=tmp_path / f"{number}.mp4", max_bytes=50_000_000)
        assert isinstance(made, Joined)
        assert made.lossless
        parent = tmp_path / f"{number}.mp4"
    silent = make_clip(tmp_path / "silent.mp4", seconds=2)
    last = make_clip(tmp_path / "last.mp4", seconds=2, audio=True)
    for number, part in enumerate((silent, last), start=3):
        assert isinstance(
            join(parent=parent, segment=part, out=tmp_path / f"{number}.mp4", max_bytes=50_000_000), Joined
        )
        parent = tmp_path / f"{number}.mp4"

    sound, rate, _ = heard(parent)

    level = levels(sound, rate)
    assert len(sound) / rate == pytest.approx(13.0, abs=PICTURE_S)
    assert quiet(level[181:219]), "the hop without sound, from 9 s to 11 s"
    assert loud(level[222:258])
    assert level[178] > TONE / 4


@pytest.mark.parametrize("damaged", [0, 1], ids=["parent", "segment"])
def test_a_damaged_track_alone_is_left_out_and_the_other_is_kept(tmp_path: Path, damaged: int) -> None:
    parts = clips(tmp_path, {"audio": True}, {"audio": True, "sound_rate": 44_100})
    spoil_sound(parts[damaged])

    made = joined(parts, tmp_path / "film.mp4")

    sound, rate, _ = heard(tmp_path / "film.mp4")
    level = levels(sound, rate)
    first, second = level[1:59], level[61:98]
    assert (quiet(first) and loud(second)) if damaged == 0 else (loud(first) and quiet(second))
    check_user_text(made.note)


def test_two_damaged_tracks_give_a_film_without_audio_and_a_note(tmp_path: Path) -> None:
    parts = clips(tmp_path, {"audio": True}, {"audio": True, "sound_rate": 44_100})
    for part in parts:
        spoil_sound(part)

    made = join(parent=parts[0], segment=parts[1], out=tmp_path / "film.mp4", max_bytes=50_000_000)

    assert isinstance(made, Joined)
    probed = probe(tmp_path / "film.mp4")
    assert isinstance(probed, Probe)
    assert not probed.has_audio
    assert not made.lossless
    check_user_text(made.note)


def test_the_valid_packets_of_a_half_damaged_track_stay(tmp_path: Path) -> None:
    parts = clips(tmp_path, {"audio": True}, {"audio": True, "sound_rate": 44_100})
    spoil_sound(parts[0], from_s=1.5)

    made = joined(parts, tmp_path / "film.mp4")

    sound, rate, _ = heard(tmp_path / "film.mp4")
    level = levels(sound, rate)
    assert loud(level[1:28])
    assert quiet(level[32:59])
    assert loud(level[61:98])
    check_user_text(made.note)


def spoil_sound(path: Path, *, from_s: float = 0.0) -> None:
    """Overwrite the sound's packets from an instant on with bytes that no decoder takes."""
    import av

    data = bytearray(path.read_bytes())
    with av.open(str(path)) as clip:
        for packet in clip.demux(audio=0):
            if packet.size and packet.pts * packet.time_base >= from_s - 0.05 * (not from_s):
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    path.write_bytes(data)
