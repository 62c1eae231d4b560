"""Luma through a reseller: the flat bodies of docs/upstream/luma.md, all states, presigned URLs, batches and hooks."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from extend_pipeline.sandbox import KeyAccount, LumaConfig
from extend_pipeline_tests.sandbox.conftest import Received, eventually
from extend_pipeline_tests.sandbox.providers.surfaces import Luma, Vidu

EXAMPLE = "4665a07c-7641-4809-a133-10786201bb56"
KEYS = [
    "id",
    "prompt",
    "state",
    "queue_state",
    "created_at",
    "batch_id",
    "video",
    "video_raw",
    "liked",
    "estimate_wait_seconds",
    "thumbnail",
    "last_frame",
]


@pytest.mark.parametrize("status", [200, 201])
def test_the_documented_request_gets_the_documented_answer(run: Any, status: int) -> None:
    seed = {"video_id": EXAMPLE, "duration": 5, "provider": "luma"}
    luma = run(Luma, seeds=(seed,), luma=LumaConfig(submit_status=status))
    response = luma.submit(EXAMPLE, user_prompt="add cat", expand_prompt=True)
    body = response.json()
    assert response.status_code == status
    assert list(body) == KEYS
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", body["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["created_at"])
    assert (body["state"], body["prompt"], body["batch_id"], body["video"]) == ("pending", "", "", None)


def test_a_generation_goes_through_all_states(run: Any) -> None:
    luma = run(Luma, luma=LumaConfig(run_time=(1000, 1000)))
    task_id = luma.extend(luma.source())
    states = []
    for offset in (0, 130, 300, 800, 1001):
        luma.handle.set_offset(offset)
        body = luma.query(task_id)
        states.append(body["state"])
        assert (body["video"] is not None) == (body["state"] == "completed")
    assert states == ["pending", "queued", "processing", "dreaming", "completed"]
    assert body["prompt"] == "add cat"


def test_a_completed_generation_has_two_links_and_a_size(luma: Luma) -> None:
    body = luma.query(luma.extend(luma.source()))
    video = body["video"]
    assert list(video) == ["url", "width", "height", "download_url"]
    assert (video["width"], video["height"]) == (320, 180)
    assert video["url"] != video["download_url"]
    assert "duration" not in body["video_raw"]
    assert [luma.http.get(video[name]).content[4:8] for name in ("url", "download_url")] == [b"ftyp"] * 2


def test_the_clean_link_the_length_and_the_reason_are_configurable(run: Any) -> None:
    luma = run(Luma, luma=LumaConfig(clean_url=False, raw_duration=True, failure_reason=False))
    body = luma.query(luma.extend(luma.source()))
    assert body["video"]["download_url"] == ""
    assert 4.9 <= body["video_raw"]["duration"] <= 5.1
    luma.fault("fail_task")
    assert list(luma.query(luma.extend(luma.source()))) == KEYS


def test_a_failed_generation_has_its_reason_and_may_be_wrapped(luma: Luma) -> None:
    luma.fault("fail_task")
    task_id = luma.extend(luma.source())
    body = luma.query(task_id)
    assert (body["state"], body["failure_reason"], body["video"]) == ("failed", "moderation failed", None)
    luma.fault("wrapped_failure", "query")
    wrapped = luma.query(task_id)
    assert list(wrapped) == ["gen_api_response", "gen_api_status", "status"]
    assert (wrapped["gen_api_status"], wrapped["status"]) == (201, "FAILED")
    assert (wrapped["gen_api_response"]["id"], wrapped["gen_api_response"]["state"]) == (task_id, "pending")


def test_a_submit_may_be_answered_with_a_wrapped_failure_although_it_was_made(luma: Luma) -> None:
    luma.fault("wrapped_failure")
    body = luma.submit(luma.source()).json()
    assert body["status"] == "FAILED"
    assert luma.query(body["gen_api_response"]["id"])["state"] == "completed"


def test_a_presigned_link_ends_and_a_query_brings_a_fresh_one(run: Any) -> None:
    luma = run(Luma)
    task_id = luma.extend(luma.source())
    url = luma.url(luma.query(task_id))
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == ["3600"]
    assert re.fullmatch(r"\d{8}T\d{6}Z", query["X-Amz-Date"][0])
    assert luma.http.get(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999")).status_code == 403
    luma.handle.set_offset(3601)
    assert luma.http.get(url).status_code == 403
    assert luma.http.get(luma.url(luma.query(task_id))).status_code == 200


def test_several_generations_are_queried_at_once(luma: Luma) -> None:
    made = [luma.extend(luma.source()) for _ in range(3)]
    seeded = luma.source()
    asked = [made[2], "unknown", seeded, made[0]]
    response = luma.http.post("/luma/tasks", json={"ids": asked})
    assert [item["id"] for item in response.json()] == [made[2], seeded, made[0]]
    assert response.json()[0]["state"] == "completed"
    assert luma.http.post("/luma/tasks", json={"ids": []}).json() == []


def test_a_batch_may_go_wrong_too(luma: Luma) -> None:
    task_id = luma.extend(luma.source())
    for kind in ("5xx_before", "rate_limit", "unknown_state"):
        luma.fault(kind, "list")
    responses = [luma.http.post("/luma/tasks", json={"ids": [task_id]}) for _ in range(4)]
    assert [response.status_code for response in responses] == [500, 429, 200, 200]
    assert [response.json()[0]["state"] for response in responses[2:]] == ["postprocessing", "completed"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"ids": [1]}'])
def test_a_batch_without_ids_is_refused(luma: Luma, body: bytes) -> None:
    assert luma.http.post("/luma/tasks", content=body).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"user_prompt": ""},
        {"user_prompt": None},
        {"expand_prompt": "yes"},
        {"image_url": ""},
        {"image_end_url": 1},
        {"notify_hook": "ftp://x"},
        {"prompt": "x"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_field_that_is_not_as_documented_is_refused(luma: Luma, fields: dict[str, Any]) -> None:
    response = luma.submit(luma.source(), **fields)
    assert response.status_code == 400
    assert next(iter(fields)) in response.json()["error"]["message"]


def test_all_documented_fields_are_accepted(luma: Luma) -> None:
    images = {"image_url": "https://example.org/a.png", "image_end_url": "iVBORw0KGgo="}
    assert luma.submit(luma.source(), expand_prompt=False, **images).status_code == 200


def test_an_unknown_generation_is_404_and_a_running_one_400(run: Any) -> None:
    luma = run(Luma, luma=LumaConfig(run_time=(1000, 1000), extra_accounts=(KeyAccount("second", "second-key"),)))
    foreign, vidus = luma.source(account="second"), luma.source(provider="vidu")
    assert [luma.submit(name).status_code for name in ("unknown", foreign, vidus)] == [404] * 3
    assert [luma.ask(name).status_code for name in ("unknown", foreign, vidus)] == [404] * 3
    running = luma.extend(luma.source())
    assert luma.submit(running).status_code == 400
    luma.handle.set_offset(1001)
    assert luma.submit(running).status_code == 200


@pytest.mark.parametrize("authorization", ["", "sandbox-luma-key", "Bearer wrong"])
def test_only_the_bearer_key_opens(luma: Luma, authorization: str) -> None:
    luma.http.headers["Authorization"] = authorization
    responses = [luma.submit("x"), luma.ask("x"), luma.http.post("/luma/tasks", json={"ids": []})]
    assert [response.status_code for response in responses] == [401] * 3


def test_the_hook_receives_every_change(run: Any, receiver: tuple[str, Received]) -> None:
    url, received = receiver
    luma = run(Luma, luma=LumaConfig(run_time=(1000, 1000)))
    task_id = luma.extend(luma.source(), notify_hook=url)
    for offset, count in ((0, 1), (300, 2), (1001, 3)):
        luma.handle.set_offset(offset)
        eventually(partial(lambda expected: len(received) == expected, count))
    bodies = [json.loads(body) for _, body in received]
    assert [body["state"] for body in bodies] == ["pending", "processing", "completed"]
    assert {body["id"] for body in bodies} == {task_id}
    assert luma.http.get(luma.url(bodies[-1])).status_code == 200


def test_money_and_slots_run_out(run: Any) -> None:
    poor = run(Luma, luma=LumaConfig(balance=Decimal("2.5"), price=Decimal("1.5")))
    source = poor.source()
    assert [poor.submit(source, user_prompt=text).status_code for text in "ab"] == [200, 403]
    assert poor.handle.charges()["by_account"]["luma"]["units"] == "1.5"
    busy = run(Luma, "busy", luma=LumaConfig(slots=1, run_time=(1000, 1000)))
    source = busy.source()
    assert [busy.submit(source, user_prompt=text).status_code for text in "ab"] == [200, 429]


@pytest.mark.parametrize("shape", ["origin", "error_object", "code_text", "error_text", "detail", "detail_object"])
def test_errors_come_in_the_configured_shape(run: Any, shape: Any) -> None:
    response = run(Luma, luma=LumaConfig(error_shape=shape)).ask("unknown")
    assert response.status_code == 404
    assert "unknown" in response.text
    assert isinstance(response.json(), dict)


def test_errors_may_be_pages(run: Any) -> None:
    response = run(Luma, luma=LumaConfig(error_shape="html")).ask("unknown")
    assert (response.status_code, response.headers["content-type"][:9]) == (404, "text/html")


def test_a_notify_hook_does_not_make_the_same_step_a_different_one(run: Any) -> None:
    luma = run(Luma)
    source = luma.source()
    for prompt, hook in (("a", "http://127.0.0.1:9/1"), ("b", "http://127.0.0.1:9/2")):
        luma.extend(source, user_prompt=prompt, notify_hook=hook)
    assert luma.handle.charges()["double"] == []
    luma.extend(source, user_prompt="a", notify_hook="http://127.0.0.1:9/3")
    assert [double["count"] for double in luma.handle.charges()["double"]] == [2]
    assert luma.handle.charges()["by_account"]["luma"]["double"] == 1


def test_a_generation_is_no_task_of_another_surface(luma: Luma, vidu: Vidu) -> None:
    assert luma.ask(vidu.extend(vidu.source())).status_code == 404
