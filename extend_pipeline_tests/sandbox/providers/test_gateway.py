"""Kling through a reseller: the bodies of docs/upstream/kling-gateway.md, forwarded fields, and rewritten bodies."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from extend_pipeline.sandbox import GatewayConfig, KeyAccount, Reserialised
from extend_pipeline_tests.sandbox.conftest import Received, eventually
from extend_pipeline_tests.sandbox.providers.surfaces import Gateway


def test_the_documented_request_gets_the_documented_answer(run: Any) -> None:
    gateway = run(Gateway, seeds=({"video_id": "827942411241803822", "duration": 5.1, "provider": "kling-gateway"},))
    response = gateway.submit("827942411241803822", prompt="场景放大")
    body = response.json()
    assert response.status_code == 200
    assert list(body) == ["code", "message", "request_id", "data"]
    assert (body["code"], body["message"]) == (0, "SUCCEED")
    assert list(body["data"]) == ["task_id", "task_status", "created_at", "updated_at"]
    assert body["data"]["task_status"] == "submitted"
    assert len(body["data"]["task_id"]) == 18
    assert body["data"]["created_at"] > 1_700_000_000_000


def test_a_task_runs_as_klings_do_and_its_result_can_be_extended(run: Any) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(run_time=(1000, 1000)))
    task_id = gateway.extend(gateway.source(duration=5.1))
    states = []
    for offset in (0, 300, 1001):
        gateway.handle.set_offset(offset)
        states.append(gateway.state(gateway.query(task_id)))
    assert states == ["submitted", "processing", "succeed"]
    data = gateway.query(task_id)["data"]
    (video,) = data["task_result"]["videos"]
    assert 9.6 <= float(video["duration"]) <= 10.1
    assert "final_unit_deduction" not in data
    assert gateway.submit(video["id"]).status_code == 200
    assert gateway.http.get(video["url"]).content[4:8] == b"ftyp"


@pytest.mark.parametrize(
    "field",
    [
        {"task_id": "1"},
        {"negative_prompt": "x"},
        {"cfg_scale": 0.5},
        {"callback_url": "http://127.0.0.1:9/x"},
        {"external_task_id": "own-id"},
        {"watermark_info": {"enabled": True}},
    ],
    ids=lambda field: next(iter(field)),
)
def test_a_field_is_accepted_only_if_it_is_forwarded(run: Any, gateway: Gateway, field: dict[str, Any]) -> None:
    name = next(iter(field))
    response = gateway.submit(gateway.source(), **field)
    assert (response.status_code, response.json()["code"]) == (400, 1201)
    assert name in response.json()["message"]
    passed = "watermark" if name == "watermark_info" else name
    passing = run(Gateway, gateway=GatewayConfig(passes=frozenset({passed})))
    assert passing.submit(passing.source(), **field).status_code == 200


def test_a_parents_task_id_must_be_the_one_that_made_the_video(run: Any) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(passes=frozenset({"task_id"})))
    task_id = gateway.extend(gateway.source())
    video_id = gateway.query(task_id)["data"]["task_result"]["videos"][0]["id"]
    assert gateway.submit(video_id, task_id="another").json()["code"] == 1203
    assert gateway.submit(video_id, task_id=task_id).status_code == 200


def test_nothing_is_found_by_the_clients_own_id_and_there_is_no_list(run: Any) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(passes=frozenset({"external_task_id"})))
    task_id = gateway.extend(gateway.source(), external_task_id="own-id")
    assert gateway.ask("own-id").status_code == 404
    assert gateway.ask(task_id).status_code == 200
    assert gateway.http.get(gateway.PATH).status_code == 404


@pytest.mark.parametrize("authorization", ["", "sandbox-gateway-key", "Bearer wrong", "Bearer sandbox-luma-key"])
def test_only_the_bearer_key_opens(gateway: Gateway, authorization: str) -> None:
    headers = {"Authorization": authorization}
    responses = [
        gateway.http.post(gateway.PATH, json={"video_id": "x"}, headers=headers),
        gateway.http.get(f"{gateway.PATH}/x", headers=headers),
    ]
    assert [response.status_code for response in responses] == [401, 401]


def test_a_video_of_another_account_or_surface_is_not_found(run: Any) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(extra_accounts=(KeyAccount("second", "second-key"),)))
    foreign, kling = gateway.source(account="second"), gateway.source(provider="kling")
    assert [gateway.submit(name).json()["code"] for name in (foreign, kling, "unknown")] == [1203] * 3
    second = {"Authorization": "Bearer second-key"}
    assert gateway.http.post(gateway.PATH, json={"video_id": foreign}, headers=second).status_code == 200


@pytest.mark.parametrize(("how", "kind"), [("seconds", int), ("text", str), ("ms", int)])
def test_bodies_may_be_written_anew(run: Any, how: Any, kind: type) -> None:
    anew = Reserialised(timestamps=how, url_only=True)
    gateway = run(Gateway, gateway=GatewayConfig(reserialised=anew))
    created = gateway.submit(gateway.source()).json()
    body = gateway.query(created["data"]["task_id"])
    for response in (created, body):
        assert response["code"] == 200
        assert list(response) == ["data", "request_id", "message", "code"]
        assert isinstance(response["data"]["created_at"], kind)
    assert (int(body["data"]["created_at"]) < 10_000_000_000) == (how == "seconds")
    assert [list(video) for video in body["data"]["task_result"]["videos"]] == [["url"]]


def test_the_origins_units_may_be_left_in_the_body(run: Any) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(origin_units=True, price=Decimal("0.7")))
    data = gateway.query(gateway.extend(gateway.source(mode="pro")))["data"]
    assert data["final_unit_deduction"] == "3.5"
    account = gateway.handle.charges()["by_account"]["gateway"]
    assert (account["units"], account["unit"]) == ("0.7", "credit")


def test_money_and_slots_run_out(run: Any) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(balance=Decimal(1)))
    source = gateway.source()
    codes = [gateway.submit(source, prompt=text).json()["code"] for text in "ab"]
    assert codes == [0, 1102]
    busy = run(Gateway, "busy", gateway=GatewayConfig(slots=1, run_time=(1000, 1000)))
    source = busy.source()
    assert [busy.submit(source, prompt=text).json()["code"] for text in "ab"] == [0, 1303]


def test_a_callback_is_posted_if_its_url_is_forwarded(run: Any, receiver: tuple[str, Received]) -> None:
    url, received = receiver
    gateway = run(Gateway, gateway=GatewayConfig(passes=frozenset({"callback_url"})))
    task_id = gateway.extend(gateway.source(), callback_url=url)
    ((_, body),) = eventually(lambda: received)
    assert (json.loads(body)["task_id"], json.loads(body)["task_status"]) == (task_id, "succeed")


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        ("origin", {"code", "message", "request_id"}),
        ("error_object", {"error"}),
        ("code_text", {"code", "message", "data"}),
        ("error_text", {"error"}),
        ("detail", {"detail"}),
        ("detail_object", {"detail"}),
        ("success", {"success", "error"}),
    ],
)
def test_errors_come_in_every_shape(run: Any, shape: Any, keys: set[str]) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(error_shape=shape))
    response: httpx.Response = gateway.submit("unknown")
    assert response.status_code == 404
    assert response.json().keys() == keys
    assert "unknown" in response.text
