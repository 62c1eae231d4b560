"""Images that an extension leads to: addresses, data URIs and files beside the catalogue."""

from __future__ import annotations

import base64
import hashlib
import struct
from pathlib import Path

import pytest

from extend_pipeline.base.images import MAX_BYTES, Image, read_header
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline_tests.config.written import (
    account_of,
    entry,
    load,
    only_problem,
    problems_of,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text

SOURCE = "{video_url: 'https://media.example.com/a.mp4', duration: 5}"


def png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG."""
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


def jpeg(width: int, height: int) -> bytes:
    """Return the beginning of a JPEG with an APP0, padding and a progressive frame."""
    app0 = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9)
    frame = b"\xff\xff\xc2" + struct.pack(">HBHH", 17, 8, height, width) + bytes(10)
    return b"\xff\xd8" + app0 + frame


def webp(kind: bytes, width: int, height: int) -> bytes:
    """Return the beginning of a WebP of one of its three kinds."""
    match kind:
        case b"VP8X":
            body = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        case b"VP8L":
            body = b"\x2f" + (width - 1 | (height - 1) << 14).to_bytes(4, "little")
        case _:
            body = b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def data_uri(data: bytes, kind: str = "image/png") -> str:
    """Return the bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def home(folder: Path, *frames: str) -> Path:
    """Write a home with one Vidu video per last frame."""
    entries = [
        entry(
            f"v{number}", source=SOURCE, extend=f"{{to: 20, model: viduq2-pro, last_frame_url: '{frame}'}}", account="v"
        )
        for number, frame in enumerate(frames)
    ]
    return write_home(folder, *entries, accounts=account_of("vidu", name="v"))


def loaded(folder: Path, frame: str) -> Video:
    """Return the video of a home with one last frame."""
    return load(home(folder, frame)).catalogue.videos["v0"]


@pytest.mark.parametrize(
    ("data", "image"),
    [
        (png(1280, 720), Image("image/png", 1280, 720)),
        (jpeg(720, 1280), Image("image/jpeg", 720, 1280)),
        (webp(b"VP8X", 4000, 1000), Image("image/webp", 4000, 1000)),
        (webp(b"VP8L", 3000, 750), Image("image/webp", 3000, 750)),
        (webp(b"VP8 ", 640, 480), Image("image/webp", 640, 480)),
        (png(1280, 720)[:20], None),
        (jpeg(720, 1280)[:24], None),
        (png(0, 720), None),
        (b"GIF89a" + bytes(40), None),
        (b"", None),
    ],
)
def test_kind_and_size_are_read_from_the_header(data: bytes, image: Image | None) -> None:
    assert read_header(data) == image


@pytest.mark.parametrize("data", [png(1280, 720), jpeg(400, 100), webp(b"VP8X", 100, 400)])
def test_a_file_beside_the_catalogue_is_named_by_its_path_and_its_sha256(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames/door.bin").write_bytes(data)
    params = loaded(tmp_path, "frames/door.bin").extend.hop_params(1)
    assert params["last_frame_url"] == f"file:{tmp_path.resolve()}/frames/door.bin"
    assert params["last_frame_sha256"] == hashlib.sha256(data).hexdigest()


def test_the_meaning_of_an_entry_does_not_change_when_its_home_is_moved(tmp_path: Path) -> None:
    dumps = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "door.png").write_bytes(png(16, 9))
        dumps.append(loaded(folder, "door.png").extend.model_dump(mode="json"))
    assert dumps[0] == dumps[1]
    assert dumps[0]["last_frame"] == f"sha256:{hashlib.sha256(png(16, 9)).hexdigest()}"


@pytest.mark.parametrize(
    "frame", ["https://media.example.com/door.png?s=1", data_uri(png(16, 9)), data_uri(jpeg(9, 16), "image/jpg")]
)
def test_addresses_and_data_uris_stay_as_they_are(tmp_path: Path, frame: str) -> None:
    params = loaded(tmp_path, frame).extend.hop_params(1)
    assert params["last_frame_url"] == frame
    assert "last_frame_sha256" not in params


@pytest.mark.parametrize(
    "frame",
    [
        "n" * 300 + ".png",
        "nowhere.png",
        "frames",
        "text.png",
        "wide.png",
        "tall.png",
        "huge.png",
        "ftp://media.example.com/a.png",
        "https://me:hush@media.example.com/a.png",
        "http://localhost/a.png",
        data_uri(b"text"),
        data_uri(png(401, 100)),
        "data:image/png;base64,%%%",
        "data:image/png;base64",
        " ",
    ],
)
def test_an_image_that_the_provider_would_refuse_is_refused_before_anything_is_spent(
    tmp_path: Path, frame: str
) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "wide.png").write_bytes(png(401, 100))
    (tmp_path / "tall.png").write_bytes(png(100, 401))
    (tmp_path / "huge.png").write_bytes(png(16, 9).ljust(MAX_BYTES, b"\0"))
    problem = only_problem(home(tmp_path, frame))
    assert (problem.file, problem.line, problem.subject, problem.field) == (
        "catalog.yaml",
        4,
        "v0",
        "extend.last_frame_url",
    )
    check_user_text(problem.text())
    assert "hush" not in problem.text()
    assert without_jargon(problem.text())


def test_an_image_of_almost_ten_megabytes_is_read_from_either_file(tmp_path: Path) -> None:
    frame = data_uri(png(16, 9).ljust(MAX_BYTES - 1, b"\0"))
    assert loaded(tmp_path / "yaml", frame).extend.hop_params(1)["last_frame_url"] == frame
    table = (
        "key,account,source.video_url,extend.to,extend.model,extend.last_frame_url\n"
        f'one,v,https://media.example.com/a.mp4,20,viduq2-pro,"{frame}"\n'
    )
    read = load(write_home(tmp_path / "csv", table=table, accounts=account_of("vidu", name="v")))
    assert read.catalogue.videos["one"].extend.hop_params(1)["last_frame_url"] == frame
    larger = data_uri(png(16, 9).ljust(MAX_BYTES, b"\0"))
    problem = only_problem(home(tmp_path / "large", larger))
    assert problem.field == "extend.last_frame_url"
    check_user_text(problem.text())


def test_a_missing_image_is_reported_for_every_video_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "door.png").write_bytes(png(16, 9))
    read = load(home(tmp_path, "door.png", "./door.png", "file:door.png")).catalogue.videos
    assert len({video.extend.hop_params(1)["last_frame_sha256"] for video in read.values()}) == 1
    (tmp_path / "door.png").unlink()
    assert [problem.subject for problem in problems_of(tmp_path)] == ["v0", "v1", "v2"]
