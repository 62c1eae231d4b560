"""Images inside a body: their types, whether they may be sent, and what the ledger stores of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.base.images import Image, read_header
from extend_pipeline.providers.wire.inline_image import BadImage, image_for_ledger, image_for_request
from extend_pipeline_tests.providers.wire.image_bytes import jpeg, png, webp
from extend_pipeline_tests.support.user_texts import check_user_text

KINDS: list[tuple[bytes, str]] = [
    (png(640, 360), "image/png"),
    (jpeg(640, 360), "image/jpeg"),
    (webp("VP8 ", 640, 360), "image/webp"),
    (webp("VP8L", 640, 360), "image/webp"),
    (webp("VP8X", 640, 360), "image/webp"),
]


@pytest.mark.parametrize(("data", "mime"), KINDS)
def test_the_kind_and_size_come_from_the_first_bytes(data: bytes, mime: str) -> None:
    assert read_header(data) == Image(mime, 640, 360)


@pytest.mark.parametrize(
    ("codec", "pixels", "mime"),
    [("png", "rgb24", "image/png"), ("mjpeg", "yuvj420p", "image/jpeg"), ("libwebp", "yuv420p", "image/webp")],
)
def test_images_from_an_encoder_are_read_the_same(codec: str, pixels: str, mime: str) -> None:
    context = cast(Any, av.CodecContext.create(codec, "w"))
    context.width, context.height, context.pix_fmt, context.time_base = 124, 78, pixels, Fraction(1, 25)
    frame = av.VideoFrame(124, 78, pixels)
    frame.pts = 0
    data = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    assert read_header(data) == Image(mime, 124, 78)


@given(st.sampled_from(KINDS), st.integers(0, 80), st.binary(max_size=6))
def test_no_bytes_make_the_reader_raise(kind: tuple[bytes, str], cut: int, noise: bytes) -> None:
    for data in (kind[0][:cut], kind[0][:cut] + noise + kind[0][cut + len(noise) :]):
        image = read_header(data)
        assert image is None or (image.width > 0 and image.height > 0)


def test_a_file_is_sent_as_a_data_uri_of_the_type_that_its_bytes_have(tmp_path: Path) -> None:
    file = tmp_path / "misnamed.jpg"
    file.write_bytes(png(64, 64))
    digest = hashlib.sha256(png(64, 64)).hexdigest()
    sent = image_for_request(f"file:{file}", sha256=digest)
    assert sent == "data:image/png;base64," + base64.b64encode(png(64, 64)).decode()
    stored = image_for_ledger(f"file:{file}", sha256=digest)
    assert stored == f"file:misnamed.jpg;sha256={digest}"
    assert str(tmp_path) not in stored


def test_a_url_is_unchanged() -> None:
    url = "https://cdn.example.com/frame.png"
    assert image_for_request(url) == image_for_ledger(url) == url


@pytest.mark.parametrize(
    "make",
    [
        lambda: png(64, 64, total=10_000_000),
        lambda: png(401, 100),
        lambda: png(100, 401),
        lambda: b"GIF89a" + b"\x00" * 40,
        lambda: jpeg(64, 64)[:20],
        lambda: png(0, 5),
        lambda: b"",
    ],
)
def test_an_image_that_the_provider_would_refuse_is_refused(tmp_path: Path, make: Callable[[], bytes]) -> None:
    file = tmp_path / "frame.png"
    file.write_bytes(make())
    from_file = image_for_request(f"file:{file}")
    assert isinstance(from_file, BadImage)
    check_user_text(f"{make()[:16]!r}: {from_file.message}")
    inline = image_for_request("data:image/png;base64," + base64.b64encode(make()).decode())
    assert isinstance(inline, BadImage)
    check_user_text(f"{make()[:16]!r}: {inline.message}")


@pytest.mark.parametrize(("width", "height"), [(400, 100), (100, 400), (1, 1)])
def test_four_to_one_itself_may_be_sent(width: int, height: int) -> None:
    uri = "data:image/png;base64," + base64.b64encode(png(width, height)).decode()
    assert image_for_request(uri) == uri


def test_the_largest_image_below_the_limit_may_be_sent(tmp_path: Path) -> None:
    file = tmp_path / "frame.png"
    file.write_bytes(png(64, 64, total=9_999_999))
    assert isinstance(image_for_request(f"file:{file}"), str)


def test_a_missing_changed_or_relative_file_is_reported_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "frame.png"
    for value in (f"file:{file}", f"file:{tmp_path}", "file:frame.png", "file:/nul\x00l.png"):
        outcome = image_for_request(value)
        assert isinstance(outcome, BadImage)
        assert ".png" in outcome.message or tmp_path.name in outcome.message
    file.write_bytes(png(64, 64))
    changed = image_for_request(f"file:{file}", sha256="0" * 64)
    assert isinstance(changed, BadImage)
    assert "changed" in changed.message


def test_a_data_uri_that_is_none_is_refused() -> None:
    for value in ("data:image/png,abc", "data:image/png;base64,a$b=", "data:image/png;base64", "data:;base64,"):
        assert isinstance(image_for_request(value), BadImage), value


def test_a_wrong_type_in_a_data_uri_is_corrected() -> None:
    content = base64.b64encode(webp("VP8X", 64, 64)).decode()
    assert image_for_request(f"DATA:image/jpg;base64,{content}") == f"data:image/webp;base64,{content}"


def test_the_ledger_stores_a_digest_of_a_large_image() -> None:
    for value in ("data:image/png;base64," + "A" * 5_000_000, "A" * 5_000_000):
        stored = image_for_ledger(value)
        assert len(stored) < 200
        assert hashlib.sha256(value.encode()).hexdigest() in stored
        assert stored == image_for_ledger(value)
    assert image_for_ledger("data:image/png;base64," + "A" * 100) != image_for_ledger(
        "data:image/png;base64," + "B" * 100
    )
