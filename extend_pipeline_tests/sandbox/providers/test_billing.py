"""Kling's billing routes, foreign tasks, and deductions that differ from the price."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from extend_pipeline.sandbox import GatewayConfig, KeyAccount, SandboxAccount, SandboxConfig, SandboxError
from extend_pipeline_tests.sandbox.conftest import PATH, Kling
from extend_pipeline_tests.sandbox.providers.surfaces import Client, Gateway
from extend_pipeline_tests.support.user_texts import check_user_text

ALWAYS = {"start_time": 1, "end_time": 10**14}
PROMPT_BILLS: dict[str, Any] = {"billing_delay": 0.0, "billing_interval": 0.0}


def page(kling: Kling, **fields: Any) -> dict[str, Any]:
    response = kling.http.post("/account/billing/package", json=fields or ALWAYS)
    assert response.status_code == 200, response.text
    assert response.json()["code"] == 0
    return dict(response.json()["data"])


def billed(kling: Kling, **fields: Any) -> dict[str, float]:
    return {row["task_id"]: row["deduction_amount"] for row in page(kling, **fields)["result"]["detail"]}


def packs(kling: Kling) -> dict[str, Any]:
    response = kling.http.get("/account/costs", params=ALWAYS)
    assert response.status_code == 200, response.text
    return dict(response.json()["data"])


def test_a_bill_names_each_charge_as_documented(start: Callable[..., Kling]) -> None:
    kling = start(balance=Decimal(10), **PROMPT_BILLS)
    tasks = [kling.extend(kling.source()), kling.extend(kling.source(mode="pro"))]
    data = page(kling)
    assert (data["has_more"], data["next_cursor"], data["result"]["count"]) == (False, "", 2)
    first, second = data["result"]["detail"]
    assert [first["task_id"], second["task_id"]] == [task["task_id"] for task in tasks]
    assert (first["deduction_amount"], second["deduction_amount"]) == (2.0, 3.5)
    assert first["deduction_time"] == str(tasks[0]["created_at"])
    assert first["duration"] == tasks[0]["task_result"]["videos"][0]["duration"]
    assert (first["resolution"], second["resolution"]) == ("720p", "1080p")
    assert (second["unit_before_deduction"], second["unit_after_deduction"]) == (8.0, 4.5)


def test_a_bill_is_late_and_leaves_out_refunded_charges(start: Callable[..., Kling]) -> None:
    kling = start(billing_interval=0.0)
    kling.handle.faults([{"kind": "fail_task", "match": {"external_task_id": "doomed"}}])
    task_id = kling.extend(kling.source())["task_id"]
    kling.extend(kling.source(), external_task_id="doomed")
    kling.handle.set_offset(12 * 3600 - 60)
    assert billed(kling) == {}
    kling.handle.set_offset(12 * 3600 + 60)
    assert billed(kling) == {task_id: 2.0}


def test_a_bill_comes_in_pages_that_new_charges_do_not_shift(start: Callable[..., Kling]) -> None:
    kling = start(billing_page=2, **PROMPT_BILLS)
    made = [kling.extend(kling.source())["task_id"] for _ in range(5)]
    data = page(kling, **ALWAYS, limit=500)
    seen = [row["task_id"] for row in data["result"]["detail"]]
    while data["has_more"]:
        if len(made) == 5:
            made.append(kling.extend(kling.source())["task_id"])
        data = page(kling, cursor=data["next_cursor"])
        assert len(data["result"]["detail"]) <= 2
        seen += [row["task_id"] for row in data["result"]["detail"]]
    assert seen == made


def test_a_bill_is_about_a_time_and_an_account(start: Callable[..., Kling]) -> None:
    other = SandboxAccount("other", "other-access", "other-secret-of-32-bytes-or-more!!", "other-key")
    kling = start(extra_accounts=(other,), **PROMPT_BILLS)
    first = kling.extend(kling.source())
    kling.handle.set_offset(3600)
    second = kling.extend(kling.source())
    foreign = kling.handle.foreign_task(account="other")
    between = first["created_at"] + 1000
    assert billed(kling, start_time=1, end_time=between) == {first["task_id"]: 2.0}
    assert billed(kling, start_time=between, end_time=10**14) == {second["task_id"]: 2.0}
    kling.http.headers["Authorization"] = "Bearer other-key"
    assert billed(kling) == {foreign["task_id"]: 2.0}


@pytest.mark.parametrize(
    "body",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"start_time": 1}',
        b'{"start_time": 2, "end_time": 2}',
        b'{"start_time": true, "end_time": 2}',
        b'{"start_time": 1, "end_time": 2, "limit": 501}',
        b'{"start_time": 1, "end_time": 2, "limit": 0}',
        b'{"cursor": "garbage"}',
        b'{"cursor": "e30="}',
        b'{"cursor": "eyJzaW5jZV9tcyI6ICJhIn0="}',
        b'{"cursor": 7}',
    ],
)
def test_a_request_that_cannot_be_read_is_refused(start: Callable[..., Kling], body: bytes) -> None:
    kling = start(**PROMPT_BILLS)
    response = kling.http.post("/account/billing/package", content=body)
    assert kling.code(response) in ((400, 1200), (400, 1201))


def test_packs_show_the_remaining_units_twelve_hours_late(start: Callable[..., Kling]) -> None:
    kling = start(balance=Decimal(5), billing_interval=0.0)
    kling.extend(kling.source())
    (pack,) = packs(kling)["resource_pack_subscribe_infos"]
    assert (pack["total_quantity"], pack["remaining_quantity"], pack["status"]) == (5.0, 5.0, "online")
    kling.handle.set_offset(13 * 3600)
    (pack,) = packs(kling)["resource_pack_subscribe_infos"]
    assert pack["remaining_quantity"] == 3.0
    assert pack["invalid_time"] > pack["effective_time"]


def test_an_account_without_packs_has_no_list_of_them(start: Callable[..., Kling]) -> None:
    assert packs(start()) == {"code": 0, "msg": "success"}


def test_packs_bought_at_another_time_are_not_listed(start: Callable[..., Kling]) -> None:
    kling = start(balance=Decimal(5), billing_interval=0.0)
    response = kling.http.get("/account/costs", params={"start_time": 1, "end_time": 2})
    assert response.json()["data"] == {"code": 0, "msg": "success"}
    assert kling.code(kling.http.get("/account/costs")) == (400, 1201)


@pytest.mark.parametrize("ask", [packs, page])
def test_a_second_request_within_a_second_is_too_fast(
    start: Callable[..., Kling], ask: Callable[[Kling], dict[str, Any]]
) -> None:
    kling = start()
    kling.handle.set_offset(100)
    ask(kling)
    with pytest.raises(AssertionError, match="1302"):
        ask(kling)
    kling.handle.set_offset(102)
    ask(kling)


def test_bills_need_a_key(start: Callable[..., Kling]) -> None:
    kling = start()
    kling.http.headers["Authorization"] = "Bearer unknown"
    assert kling.code(kling.http.get("/account/costs", params=ALWAYS)) == (401, 1002)
    assert kling.code(kling.http.post("/account/billing/package", json=ALWAYS)) == (401, 1002)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("5xx_before", 500), ("html", 502), ("code_1302", 429), ("redirect", 307), ("empty_body", 200)],
)
def test_armed_faults_strike_the_billing_routes(start: Callable[..., Kling], kind: str, status: int) -> None:
    kling = start(**PROMPT_BILLS)
    kling.handle.faults([{"kind": kind, "where": "billing", "times": 2}])
    assert kling.http.post("/account/billing/package", json=ALWAYS).status_code == status
    assert kling.http.get("/account/costs", params=ALWAYS).status_code == status
    assert billed(kling) == {}


def test_an_odd_deduction_shows_wherever_units_do(start: Callable[..., Kling]) -> None:
    kling = start(**PROMPT_BILLS)
    kling.handle.faults([{"kind": "odd_deduction", "units": "4.5", "match": {"external_task_id": "odd"}}])
    fair = kling.extend(kling.source(), external_task_id="fair")
    odd = kling.extend(kling.source(), external_task_id="odd")
    assert (fair["final_unit_deduction"], odd["final_unit_deduction"]) == ("2", "4.5")
    listed = kling.http.get(PATH).json()["data"]
    assert {row["task_id"]: row["final_unit_deduction"] for row in listed} == {
        fair["task_id"]: "2",
        odd["task_id"]: "4.5",
    }
    assert billed(kling) == {fair["task_id"]: 2.0, odd["task_id"]: 4.5}
    assert kling.handle.charges()["total_units"] == "6.5"


def test_an_odd_deduction_strikes_every_surface(client: Client) -> None:
    client.fault("odd_deduction", units=9)
    task_id = client.extend(client.source())
    (charge,) = [row for row in client.handle.charges()["charges"] if row["task_id"] == task_id]
    assert charge["units"] == "9"


def test_a_task_may_cost_nothing(kling: Kling) -> None:
    kling.handle.faults([{"kind": "odd_deduction", "units": "0"}])
    assert kling.extend(kling.source())["final_unit_deduction"] == "0"


def test_a_foreign_task_is_finished_charged_and_listed(start: Callable[..., Kling]) -> None:
    kling = start(run_time=(1000, 1000), slots=1, **PROMPT_BILLS)
    kling.submit(kling.source())
    foreign = kling.handle.foreign_task(external_task_id="foreign", prompt="a fox")
    assert foreign["status"] == "succeed"
    task = kling.query("foreign")
    assert (task["task_id"], task["task_status"]) == (foreign["task_id"], "succeed")
    assert task["task_id"] in [row["task_id"] for row in kling.http.get(PATH).json()["data"]]
    assert billed(kling)[foreign["task_id"]] == 2.0
    film = kling.http.get(task["task_result"]["videos"][0]["url"])
    assert film.content[4:8] == b"ftyp"


def test_a_foreign_task_may_be_old_and_have_any_price(start: Callable[..., Kling]) -> None:
    kling = start(billing_interval=0.0)
    source = kling.source()
    kling.handle.faults([{"kind": "odd_deduction", "units": "7", "match": {"video_id": source}}])
    foreign = kling.handle.foreign_task(video_id=source, age=13 * 3600)
    kling.handle.foreign_task(age=11 * 3600)
    assert billed(kling) == {foreign["task_id"]: 7.0}
    assert kling.query(foreign["task_id"])["task_info"]["parent_video"]["id"] == source


def test_a_foreign_task_may_be_of_any_surface(client: Client) -> None:
    before = client.charged()
    foreign = client.handle.foreign_task(provider=client.provider)
    body = client.query(foreign["task_id"])
    assert client.state(body) in ("succeed", "Success", "completed")
    assert client.http.get(client.url(body)).content[4:8] == b"ftyp"
    assert client.charged() == before + 1


def test_a_foreign_task_may_be_of_another_account(run: Callable[..., Any]) -> None:
    gateway = run(Gateway, gateway=GatewayConfig(extra_accounts=(KeyAccount("second", "second-key"),)))
    foreign = gateway.handle.foreign_task(provider="kling-gateway", account="second")
    assert gateway.ask(foreign["task_id"]).status_code == 404
    gateway.http.headers["Authorization"] = "Bearer second-key"
    assert gateway.state(gateway.query(foreign["task_id"])) == "succeed"


@pytest.mark.parametrize(
    "fields",
    [
        {"provider": "sora"},
        {"account": "unlisted"},
        {"video_id": "unknown"},
        {"age": -1},
        {"units": 3},
        {"prompt": 7},
    ],
)
def test_an_invalid_foreign_task_is_refused(kling: Kling, fields: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as caught:
        kling.handle.foreign_task(**fields)
    check_user_text(str(caught.value))


@pytest.mark.parametrize("wrong", [{"billing_delay": -1}, {"billing_interval": -1}, {"billing_page": 501}])
def test_an_invalid_billing_config_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SandboxError, match=next(iter(wrong))):
        SandboxConfig(**wrong)


def test_bills_outlive_a_restart(start: Callable[..., Kling]) -> None:
    kling = start("s", billing_page=1, balance=Decimal(9), **PROMPT_BILLS)
    tasks = [kling.extend(kling.source())["task_id"] for _ in range(2)]
    cursor = page(kling)["next_cursor"]
    bought = packs(kling)["resource_pack_subscribe_infos"][0]["purchase_time"]
    kling.handle.stop()
    again = start("s", billing_page=1, balance=Decimal(9), **PROMPT_BILLS)
    assert billed(again, cursor=cursor) == {tasks[1]: 2.0}
    assert packs(again)["resource_pack_subscribe_infos"][0]["purchase_time"] == bought


def test_a_bill_over_http_needs_no_v1(start: Callable[..., Kling]) -> None:
    response: httpx.Response = start().http.post("/v1/account/billing/package", json=ALWAYS)
    assert response.status_code == 404
