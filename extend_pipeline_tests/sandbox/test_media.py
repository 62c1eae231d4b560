"""The sandbox's films are real, and each is the exact beginning of the next hop's; their links are signed."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from extend_pipeline.sandbox.media.drawing import Frames, Segment
from extend_pipeline.sandbox.media.render import ParentMismatch, render_extension, render_source
from extend_pipeline_tests.sandbox.conftest import Kling

FRAMES = Frames(320, 180, 12)


def decoded(film: bytes) -> tuple[list[tuple[int | None, bytes]], float]:
    """Return every frame with its time, and the length in seconds."""
    with av.open(io.BytesIO(film), "r") as container:
        assert container.duration is not None
        frames = [(frame.pts, frame.to_ndarray().tobytes()) for frame in container.decode(video=0)]
        return frames, container.duration / av.time_base


def chain(kling: Kling, hops: int, **source: object) -> list[dict[str, str]]:
    """Return `videos[0]` of each hop."""
    videos, parent = [], kling.source(**source)
    for _ in range(hops):
        videos.append(kling.extend(parent)["task_result"]["videos"][0])
        parent = videos[-1]["id"]
    return videos


def test_each_hop_is_its_parent_and_more_frames(kling: Kling) -> None:
    videos = chain(kling, 3)
    films = [decoded(kling.http.get(video["url"]).content) for video in videos]
    for (parent, parent_s), (child, child_s) in pairwise(films):
        assert child[: len(parent)] == parent
        assert 4.5 <= round(child_s - parent_s, 3) <= 5.0
        assert child[len(parent)][1] != parent[-1][1]
    assert [length for _, length in films] == [float(video["duration"]) for video in videos]


def test_the_first_hop_begins_with_the_source(kling: Kling) -> None:
    data = kling.extend(kling.source(duration=5.1))
    source, source_s = decoded(kling.http.get(data["task_info"]["parent_video"]["url"]).content)
    result, _ = decoded(kling.http.get(data["task_result"]["videos"][0]["url"]).content)
    assert source_s == 5.1
    assert result[: len(source)] == source


def test_a_film_is_faststart_h264_with_a_key_frame_at_each_seam(kling: Kling) -> None:
    (video,) = chain(kling, 1, duration=5.0)
    response = kling.http.get(video["url"])
    assert response.headers["content-type"] == "video/mp4"
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.content.index(b"moov") < response.content.index(b"mdat")
    with av.open(io.BytesIO(response.content), "r") as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (320, 180)
        assert not stream.codec_context.has_b_frames
        keys = [packet.pts for packet in container.demux(stream) if packet.is_keyframe and packet.pts is not None]
        assert stream.time_base is not None
        assert [float(key * stream.time_base) for key in keys] == [0.0, 5.0]


def test_two_videos_do_not_look_the_same(kling: Kling) -> None:
    one, other = (chain(kling, 1)[0] for _ in range(2))
    assert kling.http.get(one["url"]).content != kling.http.get(other["url"]).content


def test_a_film_is_rendered_only_when_it_is_requested(start: Callable[..., Kling], tmp_path: Path) -> None:
    kling = start()
    videos = chain(kling, 3)
    assert list((tmp_path / "state" / "media").iterdir()) == []
    kling.http.get(videos[2]["url"])
    assert len(list((tmp_path / "state" / "media").iterdir())) == 4


def test_shared_films_are_few_and_still_exact_prefixes(start: Callable[..., Kling], tmp_path: Path) -> None:
    kling = start(share_media=True)
    rows = [chain(kling, 3) for _ in range(3)]
    first, second = ([kling.http.get(video["url"]).content for video in row] for row in rows[:2])
    assert first == second
    assert len({video["id"] for row in rows for video in row}) == 9
    assert len(list((tmp_path / "state" / "media").iterdir())) == 4
    shorter, longer = decoded(first[1]), decoded(first[2])
    assert longer[0][: len(shorter[0])] == shorter[0]
    assert longer[1] == float(rows[0][2]["duration"])


def test_size_and_rate_are_settings(start: Callable[..., Kling]) -> None:
    kling = start(width=160, height=96, fps=10)
    film = kling.http.get(chain(kling, 1, duration=5)[0]["url"]).content
    with av.open(io.BytesIO(film), "r") as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (160, 96, Fraction(10))


def test_a_link_ends_and_a_query_gives_a_fresh_one(start: Callable[..., Kling]) -> None:
    kling = start(url_ttl=3600)
    task = kling.extend(kling.source())
    url = task["task_result"]["videos"][0]["url"]
    kling.handle.set_offset(3590)
    assert kling.http.get(url).status_code == 200
    kling.handle.set_offset(3601)
    assert kling.http.get(url).status_code == 403
    assert kling.http.get(kling.query(task["task_id"])["task_result"]["videos"][0]["url"]).status_code == 200


@pytest.mark.parametrize("spoil", ["sig=0", "sig=%C3%A4", "expires=9", "v=7"])
def test_a_link_that_was_tampered_with_is_refused(kling: Kling, spoil: str) -> None:
    url = chain(kling, 1)[0]["url"]
    assert kling.http.get(url.replace(spoil.split("=")[0] + "=", spoil)).status_code == 403
    assert kling.http.get(url.partition("?")[0]).status_code == 403


def test_a_film_is_removed_after_30_days_although_its_link_is_valid(kling: Kling) -> None:
    old = datetime.now(UTC) - timedelta(days=29, hours=23, minutes=59)
    task = kling.extend(kling.source(created_at=old.isoformat()))
    try:
        kling.handle.set_offset(120)
        url = kling.query(task["task_id"])["task_info"]["parent_video"]["url"]
        assert kling.http.get(url).status_code == 404
    finally:
        kling.handle.set_offset(0)


def test_a_head_request_returns_the_length(kling: Kling) -> None:
    url = chain(kling, 1)[0]["url"]
    head = kling.http.head(url)
    assert int(head.headers["content-length"]) == len(kling.http.get(url).content)


def test_a_parent_of_other_settings_is_refused_and_leaves_no_film(tmp_path: Path) -> None:
    render_source(tmp_path / "parent.mp4", Segment(0, 1000, 0, 0), Frames(160, 96, 12))
    with pytest.raises(ParentMismatch, match="other settings"):
        render_extension(tmp_path / "child.mp4", tmp_path / "parent.mp4", Segment(1000, 1000, 0, 1), FRAMES)
    assert not (tmp_path / "child.mp4").exists()


def test_a_hop_costs_little_processor_time(tmp_path: Path) -> None:
    render_source(tmp_path / "0.mp4", Segment(0, 5000, 0, 0), FRAMES)
    started = time.process_time()
    for hop in range(1, 11):
        segment = Segment(5000 + 4800 * (hop - 1), 4800, 0, hop)
        render_extension(tmp_path / f"{hop}.mp4", tmp_path / f"{hop - 1}.mp4", segment, FRAMES)
    assert (time.process_time() - started) / 10 < 0.2
    assert os.path.getsize(tmp_path / "10.mp4") > os.path.getsize(tmp_path / "9.mp4")  # noqa: PTH202
