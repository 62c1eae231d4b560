"""Kling's three routes: bodies as docs/upstream/kling.md shows them, and every check before a task is created."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from extend_pipeline.sandbox import SandboxAccount
from extend_pipeline_tests.sandbox.conftest import PATH, Kling, make_jwt
from extend_pipeline_tests.support.user_texts import check_user_text


def test_a_create_answers_with_the_documented_body(kling: Kling) -> None:
    body = kling.submit(kling.source(), external_task_id="own-1").json()
    assert list(body) == ["code", "message", "request_id", "data"]
    data = body["data"]
    assert list(data) == ["task_id", "task_status", "task_info", "created_at", "updated_at"]
    assert body["code"] == 0
    assert data["task_status"] == "submitted"
    assert data["task_info"] == {"external_task_id": "own-1"}
    assert data["task_id"].isdecimal()
    assert len(data["task_id"]) == 18
    assert data["created_at"] == data["updated_at"] > 1_700_000_000_000


def test_a_finished_task_has_parent_result_units_and_watermark(kling: Kling) -> None:
    source = kling.source(mode="pro")
    data = kling.extend(source, external_task_id="own-2", watermark_info={"enabled": True})
    parent, (video,) = data["task_info"]["parent_video"], data["task_result"]["videos"]
    assert (parent["id"], parent["duration"]) == (source, "5.1")
    assert parent["url"].startswith(kling.handle.base_url)
    assert 9.6 <= float(video["duration"]) <= 10.1
    assert len(video["id"]) == 18
    assert video["watermark_url"] != video["url"]
    assert data["task_status"] == "succeed"
    assert data["watermark_info"] == {"enabled": True}
    assert data["final_unit_deduction"] == "3.5"
    assert kling.query("own-2")["task_id"] == data["task_id"]


def test_a_result_without_watermark_has_no_watermark_url(kling: Kling) -> None:
    data = kling.extend(kling.source())
    assert "watermark_url" not in data["task_result"]["videos"][0]
    assert data["final_unit_deduction"] == "2"
    assert data["task_info"].keys() == {"parent_video"}


def test_a_task_runs_from_submitted_over_processing_to_succeed(start: Callable[..., Kling]) -> None:
    kling = start(run_time=(1000, 1000))
    first = kling.source()
    task_id = kling.submit(first).json()["data"]["task_id"]
    seen = []
    for offset in (0, 300, 999.5 + 1):
        kling.handle.set_offset(offset)
        data = kling.query(task_id)
        seen.append((data["task_status"], "final_unit_deduction" in data, bool(data["task_result"])))
    assert seen == [("submitted", False, False), ("processing", False, False), ("succeed", True, True)]
    assert data["updated_at"] - data["created_at"] == 1_000_000


def test_a_result_can_be_extended_only_once_it_is_there(start: Callable[..., Kling]) -> None:
    kling = start(run_time=(1000, 1000))
    kling.submit(kling.source())
    result = kling.handle.tasks()[0]["video_id"]
    assert kling.code(kling.submit(result)) == (404, 1203)
    kling.handle.set_offset(1001)
    assert kling.submit(result).status_code == 200


def test_run_times_are_drawn_from_seed_and_task_id(start: Callable[..., Kling]) -> None:
    def runs(state: str, seed: int) -> list[int]:
        kling = start(state, run_time=(2, 4), seed=seed)
        for _ in range(5):
            kling.submit(kling.source())
        return [task["done_ms"] - task["created_ms"] for task in kling.handle.tasks()]

    one, same, other = runs("a", 1), runs("b", 1), runs("c", 2)
    assert one == same != other
    assert all(2000 <= run <= 4000 for run in one)
    assert len(set(one)) > 1


def test_the_list_pages_newest_first_and_is_empty_past_the_end(start: Callable[..., Kling]) -> None:
    kling = start()
    source = kling.source()
    made = [kling.submit(source).json()["data"]["task_id"] for _ in range(35)]

    def page(**query: Any) -> list[str]:
        return [item["task_id"] for item in kling.http.get(PATH, params=query).json()["data"]]

    assert page() == made[::-1][:30]
    assert page(pageNum=2) == made[::-1][30:]
    assert page(pageNum=2, pageSize=3) == made[::-1][3:6]
    assert page(pageNum=1000, pageSize=500) == []
    assert kling.http.get(PATH, params={"pageSize": 1}).json()["data"] == [kling.query(made[-1])]


@pytest.mark.parametrize("query", ["pageNum=0", "pageNum=1001", "pageSize=0", "pageSize=501", "pageSize=x", "pageNum="])
def test_a_page_out_of_range_is_1201(kling: Kling, query: str) -> None:
    assert kling.code(kling.http.get(f"{PATH}?{query}")) == (400, 1201)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model_name": "kling-v1-6"}, "model_name"),
        ({"prompt": "x" * 2501}, "prompt"),
        ({"negative_prompt": "x" * 2501}, "negative_prompt"),
        ({"prompt": None}, "prompt"),
        ({"cfg_scale": 1.01}, "cfg_scale"),
        ({"cfg_scale": -0.01}, "cfg_scale"),
        ({"cfg_scale": "0.5"}, "cfg_scale"),
        ({"cfg_scale": True}, "cfg_scale"),
        ({"watermark_info": [{"enabled": True}]}, "watermark_info"),
        ({"watermark_info": {"enabled": "yes"}}, "watermark_info"),
        ({"watermark_info": {}}, "watermark_info"),
        ({"callback_url": "not a url"}, "callback_url"),
        ({"callback_url": "ftp://example.org/x"}, "callback_url"),
        ({"external_task_id": 7}, "external_task_id"),
        ({"external_task_id": ""}, "external_task_id"),
    ],
)
def test_a_wrong_field_is_1201_and_named(kling: Kling, fields: dict[str, Any], field: str) -> None:
    response = kling.submit(kling.source(), **fields)
    assert kling.code(response) == (400, 1201)
    assert field in response.json()["message"]


def test_fields_at_their_limits_are_accepted(kling: Kling) -> None:
    response = kling.submit(kling.source(), prompt="雾" * 2500, negative_prompt="y" * 2500, cfg_scale=1)
    assert response.status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"'])
def test_a_body_that_is_no_json_object_is_1200(kling: Kling, body: bytes) -> None:
    response = kling.http.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert kling.code(response) == (400, 1200)


def test_a_body_of_another_content_type_is_1200(kling: Kling) -> None:
    assert kling.code(kling.http.post(PATH, content=b"{}", headers={"Content-Type": "text/plain"})) == (400, 1200)


@pytest.mark.parametrize("name", ["video_id", "external_task_id"])
def test_half_a_surrogate_pair_is_1201_and_breaks_nothing(kling: Kling, name: str) -> None:
    body = {"video_id": kling.source(), name: "half \ud800"}
    response = kling.http.post(PATH, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert kling.code(response) == (400, 1201)


@pytest.mark.parametrize("video_id", [None, 827942411241803822, ""])
def test_a_video_id_that_is_no_string_is_1201(kling: Kling, video_id: object) -> None:
    assert kling.code(kling.http.post(PATH, json={"video_id": video_id})) == (400, 1201)


def test_a_missing_video_id_is_1201_and_an_unknown_one_1203(kling: Kling) -> None:
    assert kling.code(kling.http.post(PATH, json={"prompt": "x"})) == (400, 1201)
    assert kling.code(kling.submit("no-such-video")) == (404, 1203)


def test_a_second_use_of_an_external_task_id_is_refused_and_named(kling: Kling) -> None:
    source = kling.source()
    kling.extend(source, external_task_id="twice")
    response = kling.submit(source, external_task_id="twice")
    assert kling.code(response) == (400, 1201)
    assert "twice" in response.json()["message"]
    assert kling.handle.charges()["by_external_task_id"]["twice"] == 1


@pytest.mark.parametrize(
    ("model", "fields", "expected"),
    [
        ("kling-v1-0", {"prompt": "x"}, 200),
        ("kling-v1-0", {"negative_prompt": "x"}, 400),
        ("kling-v1", {"cfg_scale": 0.5}, 400),
        ("kling-v1-5", {"cfg_scale": 0.5, "negative_prompt": "x"}, 200),
        ("kling-v2-0", {}, 400),
    ],
)
def test_the_model_of_the_source_decides(kling: Kling, model: str, fields: dict[str, Any], expected: int) -> None:
    response = kling.submit(kling.source(model=model), **fields)
    assert response.status_code == expected
    assert response.json()["code"] == (0 if expected == 200 else 1201)


def test_a_source_is_gone_after_30_days(kling: Kling) -> None:
    now = datetime.now(UTC)
    young = kling.source(created_at=(now - timedelta(days=29, hours=23)).isoformat())
    old = kling.source(created_at=(now - timedelta(days=30, seconds=1)).isoformat())
    assert kling.submit(young).status_code == 200
    assert kling.code(kling.submit(old)) == (404, 1203)


def test_31_days_on_a_shifted_clock_are_31_days(start: Callable[..., Kling]) -> None:
    kling = start()
    source = kling.source()
    kling.handle.set_offset(31 * 86400)
    assert kling.code(kling.submit(source)) == (404, 1203)


@pytest.mark.parametrize(("duration", "expected"), [(175.0, 200), (175.6, 400), (181.0, 400)])
def test_neither_source_nor_result_may_exceed_180_seconds(kling: Kling, duration: float, expected: int) -> None:
    assert kling.submit(kling.source(duration=duration)).status_code == expected


def test_slots_are_held_until_the_end(start: Callable[..., Kling]) -> None:
    kling = start(run_time=(1000, 1000), slots=2)
    source = kling.source()
    assert [kling.submit(source).status_code for _ in range(2)] == [200, 200]
    refused = kling.submit(source)
    assert kling.code(refused) == (429, 1303)
    check_user_text(refused.json()["message"])
    kling.handle.set_offset(1001)
    assert kling.submit(source).status_code == 200


def test_an_empty_account_is_1102_and_a_refund_fills_it(start: Callable[..., Kling]) -> None:
    kling = start(balance=Decimal("5"), run_time=(1000, 1000))
    source = kling.source()
    kling.handle.faults([{"kind": "fail_task"}])
    assert [kling.submit(source).status_code for _ in range(2)] == [200, 200]
    response = kling.submit(source)
    assert kling.code(response) == (429, 1102)
    check_user_text(response.json()["message"])
    kling.handle.set_offset(1001)
    assert kling.submit(source).status_code == 200


def test_an_unknown_task_is_1203_and_an_unknown_route_1202(kling: Kling) -> None:
    assert kling.code(kling.http.get(f"{PATH}/nobody")) == (404, 1203)
    assert kling.code(kling.http.put(PATH)) == (404, 1202)
    assert kling.code(kling.http.get("/v1/videos/else")) == (404, 1202)


def test_accounts_do_not_see_each_others_videos_and_tasks(start: Callable[..., Kling]) -> None:
    kling = start(extra_accounts=(SandboxAccount("second", "ak2", "sk2", "key2"),))
    source = kling.source()
    task = kling.extend(source, external_task_id="same-for-both")
    second = {"Authorization": f"Bearer {make_jwt(key='ak2', secret='sk2')}"}
    assert kling.code(kling.http.post(PATH, json={"video_id": source}, headers=second)) == (404, 1203)
    assert kling.code(kling.http.get(f"{PATH}/{task['task_id']}", headers=second)) == (404, 1203)
    assert kling.http.get(PATH, headers=second).json()["data"] == []
    own = kling.source(account="second")
    body = {"video_id": own, "external_task_id": "same-for-both"}
    assert kling.http.post(PATH, json=body, headers=second).status_code == 200


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, 1000),
        ("", 1001),
        ("Bearer", 1002),
        ("Bearer wrong-key", 1002),
        (f"Token {make_jwt()}", 1002),
        (f"Bearer {make_jwt(secret='another')}", 1002),
        (f"Bearer {make_jwt(key='another')}", 1002),
        (f"Bearer {make_jwt(nbf=3600)}", 1003),
        (f"Bearer {make_jwt(exp=-1)}", 1004),
        ("Bearer e30.e30.e30", 1002),
        ("Bearer ä.ö.ü", 1002),
    ],
)
def test_bad_credentials_are_401_with_their_own_code(kling: Kling, header: str | None, code: int) -> None:
    headers = {} if header is None else {b"Authorization": header.encode()}
    del kling.http.headers["authorization"]
    try:
        for response in (
            kling.http.post(PATH, json={"video_id": "x"}, headers=headers),
            kling.http.get(PATH, headers=headers),
            kling.http.get(f"{PATH}/x", headers=headers),
        ):
            assert kling.code(response) == (401, code)
    finally:
        kling.http.headers["Authorization"] = "Bearer sandbox-api-key"


def test_a_valid_jwt_is_accepted_at_any_time_of_the_sandbox_clock(start: Callable[..., Kling]) -> None:
    kling = start(now_offset=31 * 86400)
    response = kling.http.get(PATH, headers={"Authorization": f"Bearer {make_jwt()}"})
    assert response.status_code == 200
