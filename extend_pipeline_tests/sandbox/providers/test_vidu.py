"""Vidu through ModelVerse: the bodies of docs/upstream/vidu.md, every check, prices, and URLs that expire finally."""

from __future__ import annotations

import base64
import struct
from decimal import Decimal
from typing import Any

import pytest

from extend_pipeline.sandbox import ViduConfig
from extend_pipeline_tests.sandbox.providers.surfaces import Gateway, Luma, Vidu

DANCE = "https://umodelverse-inference.cn-wlcb.ufileos.com/maxcot-dance.mp4"


def png(width: int = 320, height: int = 180, size: int = 64) -> bytes:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    return head.ljust(size, b"\0")


def jpeg(width: int = 320, height: int = 180) -> bytes:
    app = b"\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0".ljust(14, b"\0")
    return b"\xff\xd8" + app + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3).ljust(17, b"\0")


def webp(width: int = 320, height: int = 180) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x20\0\0\0WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + size


def data_uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def test_the_documented_request_gets_the_documented_answers(run: Any) -> None:
    vidu = run(Vidu, seeds=({"video_id": "dance", "duration": 5, "provider": "vidu", "video_url": DANCE},))
    fields = {
        "last_frame_url": "https://umodelverse-inference.cn-wlcb.ufileos.com/ucloud-maxcot.jpg",
        "prompt": "Continue the video with smooth camera movement",
        "duration": 5,
        "resolution": "720p",
    }
    response = vidu.submit(DANCE, **fields)
    assert response.status_code == 200
    assert list(response.json()) == ["output", "request_id"]
    assert list(response.json()["output"]) == ["task_id"]
    body = vidu.query(vidu.task_id(response))
    assert list(body) == ["output", "usage", "request_id"]
    assert list(body["output"]) == ["task_id", "task_status", "urls", "submit_time", "finish_time"]
    assert (body["output"]["task_status"], body["usage"], body["request_id"]) == ("Success", {"duration": 5}, "")
    assert vidu.url(body).partition("?")[0].endswith("-extended.mp4")
    assert 1_700_000_000 < body["output"]["submit_time"] < 10_000_000_000


def test_a_task_runs_from_pending_over_running_to_success(run: Any) -> None:
    vidu = run(Vidu, vidu=ViduConfig(run_time=(1000, 1000)))
    task_id = vidu.extend(vidu.source())
    seen = []
    for offset in (0, 300, 1001):
        vidu.handle.set_offset(offset)
        body = vidu.query(task_id)
        seen.append((vidu.state(body), "urls" in body["output"], "usage" in body, "finish_time" in body["output"]))
    assert seen == [
        ("Pending", False, False, False),
        ("Running", False, False, False),
        ("Success", True, True, True),
    ]
    assert body["output"]["finish_time"] - body["output"]["submit_time"] == 1000


@pytest.mark.parametrize(("kind", "state"), [("fail_task", "Failure"), ("expire_task", "Expired")])
def test_a_bad_end_has_a_reason_and_a_usage_that_means_nothing(vidu: Vidu, kind: str, state: str) -> None:
    vidu.fault(kind)
    body = vidu.query(vidu.extend(vidu.source(), duration=3))
    assert (vidu.state(body), body["usage"]) == (state, {"duration": 3})
    assert body["output"]["error_message"]
    assert "urls" not in body["output"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": "viduq3"}, "model"),
        ({"vidu_type": "img2video"}, "vidu_type"),
        ({"duration": 0}, "duration"),
        ({"duration": 8}, "duration"),
        ({"duration": 5.0}, "duration"),
        ({"duration": "5"}, "duration"),
        ({"duration": True}, "duration"),
        ({"resolution": "4k"}, "resolution"),
        ({"prompt": "x" * 2001}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"seed": 1}, "parameters.seed"),
        ({"last_frame_url": ""}, "last_frame_url"),
        ({"last_frame_url": "ftp://example.org/a.png"}, "http"),
        ({"last_frame_url": "https://example.org/a.gif"}, "gif"),
        ({"last_frame_url": base64.b64encode(png()).decode()}, "data:image"),
        ({"last_frame_url": data_uri("gif", png())}, "must begin"),
        ({"last_frame_url": data_uri("jpeg", png())}, "no jpeg"),
        ({"last_frame_url": "data:image/png;base64,***"}, "decoded"),
        ({"last_frame_url": data_uri("png", png(401, 100))}, "401x100"),
        ({"last_frame_url": data_uri("webp", webp(100, 401))}, "100x401"),
        ({"last_frame_url": data_uri("png", png(size=10 * 1024 * 1024))}, "10 MB"),
    ],
)
def test_a_field_that_is_not_as_documented_is_a_param_error(vidu: Vidu, fields: dict[str, Any], field: str) -> None:
    response = vidu.submit(vidu.source(), **fields)
    assert vidu.error(response) == (400, "param_error")
    assert field in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "frame",
    [
        data_uri("png", png(400, 100)),
        data_uri("jpeg", jpeg()),
        data_uri("jpg", jpeg(100, 400)),
        data_uri("webp", webp()),
        "https://example.org/frame",
    ],
    ids=["png", "jpeg", "jpg", "webp", "url"],
)
def test_a_last_frame_may_be_an_image_or_a_url(vidu: Vidu, frame: str) -> None:
    assert vidu.submit(vidu.source(), last_frame_url=frame).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": "viduq2-pro", "input": {}, "parameters": {}}'])
def test_a_body_without_its_required_fields_is_a_param_error(vidu: Vidu, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert vidu.error(vidu.http.post("/v1/tasks/submit", content=body, headers=headers)) == (400, "param_error")


@pytest.mark.parametrize(("duration", "status"), [(3.9, 400), (4, 200), (60, 200), (60.1, 400)])
def test_a_source_is_4_to_60_seconds_long(vidu: Vidu, duration: float, status: int) -> None:
    assert vidu.submit(vidu.source(duration=duration)).status_code == status


@pytest.mark.parametrize("url", ["https://example.org/unknown.mp4", "not a url", "http://[", "/_sandbox/media/x.mp4"])
def test_a_source_that_cannot_be_fetched_is_a_param_error(vidu: Vidu, url: str) -> None:
    assert vidu.error(vidu.submit(url)) == (400, "param_error")


def test_any_surfaces_film_may_be_extended_by_its_url(vidu: Vidu, gateway: Gateway) -> None:
    url = gateway.url(gateway.query(gateway.extend(gateway.source())))
    result = vidu.query(vidu.extend(url))
    assert vidu.state(result) == "Success"
    assert vidu.error(vidu.submit(url.replace("sig=", "sig=0"))) == (400, "param_error")


def test_a_results_url_expires_finally_and_with_it_the_next_hop(run: Any) -> None:
    vidu = run(Vidu, vidu=ViduConfig(url_ttl=10_000))
    task_id = vidu.extend(vidu.source())
    url = vidu.url(vidu.query(task_id))
    assert vidu.submit(url).status_code == 200
    vidu.handle.set_offset(9_000)
    assert vidu.http.get(url).status_code == 200
    vidu.handle.set_offset(11_000)
    assert vidu.url(vidu.query(task_id)) == url
    assert vidu.http.get(url).status_code == 403
    assert vidu.error(vidu.submit(url)) == (400, "param_error")


def test_a_seeded_film_is_public_and_does_not_expire(run: Any) -> None:
    vidu = run(Vidu)
    (row,) = vidu.handle.seed([{"video_id": "öffentlich/1", "duration": 4, "provider": "vidu"}])
    assert row["url"] == vidu.handle.source_url("öffentlich/1")
    vidu.handle.set_offset(400 * 86400)
    assert vidu.http.get(row["url"]).content[4:8] == b"ftyp"
    assert vidu.submit(row["url"]).status_code == 200


@pytest.mark.parametrize(
    ("model", "resolution", "seconds", "yuan"),
    [
        ("viduq2-turbo", "540p", 1, "0.31"),
        ("viduq2-turbo", "540p", 5, "0.56"),
        ("viduq2-turbo", "720p", 5, "1.09"),
        ("viduq2-turbo", "1080p", 7, "3.13"),
        ("viduq2-pro", "540p", 2, "0.63"),
        ("viduq2-pro", "720p", 1, "0.94"),
        ("viduq2-pro", "1080p", 7, "4.69"),
    ],
)
def test_the_charge_is_in_yuan_by_model_resolution_and_seconds(
    run: Any, model: str, resolution: str, seconds: int, yuan: str
) -> None:
    vidu = run(Vidu)
    vidu.extend(vidu.source(), model=model, resolution=resolution, duration=seconds)
    book = vidu.handle.charges()
    assert (book["by_account"]["vidu"]["units"], book["by_account"]["vidu"]["unit"]) == (yuan, "CNY")
    assert book["total_units"] == "0"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("sandbox-vidu-key", 200), ("Bearer sandbox-vidu-key", 200), ("wrong", 401), ("", 401), ("Bearer wrong", 401)],
)
def test_the_key_is_accepted_raw_or_as_bearer(vidu: Vidu, authorization: str, status: int) -> None:
    headers = {"Authorization": authorization}
    task_id = vidu.extend(vidu.source())
    responses = [
        vidu.http.post("/v1/tasks/submit", json=vidu.body(vidu.source()), headers=headers),
        vidu.http.get("/v1/tasks/status", params={"task_id": task_id}, headers=headers),
    ]
    assert [response.status_code for response in responses] == [status] * 2
    if status == 401:
        assert vidu.error(responses[0]) == (401, "auth_error")


def test_money_and_slots_run_out(run: Any) -> None:
    poor = run(Vidu, vidu=ViduConfig(balance=Decimal("1.09")))
    source = poor.source()
    assert poor.submit(source).status_code == 200
    assert poor.error(poor.submit(source, prompt="more")) == (403, "forbidden")
    busy = run(Vidu, "busy", vidu=ViduConfig(slots=1, run_time=(1000, 1000)))
    source = busy.source()
    busy.extend(source)
    assert busy.error(busy.submit(source, prompt="more")) == (429, "rate_limit")


def test_an_unknown_task_is_a_param_error(vidu: Vidu, luma: Luma) -> None:
    assert vidu.error(vidu.ask("unknown")) == (400, "param_error")
    assert vidu.error(vidu.ask(luma.extend(luma.source()))) == (400, "param_error")


def test_a_content_refusal_has_its_own_code(vidu: Vidu) -> None:
    vidu.fault("content_refusal")
    assert vidu.error(vidu.submit(vidu.source())) == (400, "sensitive_check_error")


def test_the_same_step_under_two_urls_is_a_double_and_a_branch_is_none(run: Any) -> None:
    vidu = run(Vidu)
    vidu.handle.seed([{"video_id": "dance", "duration": 5, "provider": "vidu", "video_url": DANCE}])
    for fields in ({"prompt": "a"}, {"prompt": "b"}, {"prompt": "a", "duration": 4}):
        vidu.extend(DANCE, **fields)
    assert vidu.handle.charges()["double"] == []
    vidu.extend(vidu.handle.source_url("dance"), prompt="a")
    (double,) = vidu.handle.charges()["double"]
    assert (double["account"], double["video_id"], double["count"]) == ("vidu", "dance", 2)
