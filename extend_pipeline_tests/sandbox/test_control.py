"""The control routes: seeds, charges, request counts, and invalid faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.sandbox import SandboxConfig, SandboxError, Seed
from extend_pipeline_tests.sandbox.conftest import PATH, Kling
from extend_pipeline_tests.support.user_texts import check_user_text


def test_the_charge_book_counts_what_was_created(start: Callable[..., Kling]) -> None:
    kling = start()
    std, pro = kling.source(), kling.source(mode="pro")
    kling.submit(std, external_task_id="a")
    kling.submit(pro, external_task_id="b", prompt="x")
    kling.submit("unknown", external_task_id="c")
    book = kling.handle.charges()
    assert [(line["external_task_id"], line["video_id"], line["units"]) for line in book["charges"]] == [
        ("a", std, "2"),
        ("b", pro, "3.5"),
    ]
    assert book["total_units"] == "5.5"
    assert book["by_external_task_id"] == {"a": 1, "b": 1}
    assert book["double"] == []


def test_the_same_step_under_two_ids_is_a_double_and_a_branch_is_not(start: Callable[..., Kling]) -> None:
    kling = start()
    source = kling.source()
    kling.submit(source, external_task_id="a", prompt="x")
    kling.submit(source, external_task_id="branch", prompt="y")
    assert kling.handle.charges()["double"] == []
    kling.submit(source, external_task_id="b", prompt="x")
    (double,) = kling.handle.charges()["double"]
    assert (double["video_id"], double["external_task_ids"], double["count"]) == (source, ["a", "b"], 2)


@pytest.mark.parametrize(("refund", "units"), [(True, "0"), (False, "2")])
def test_a_failed_task_is_refunded_if_the_sandbox_refunds(
    start: Callable[..., Kling], refund: bool, units: str
) -> None:
    kling = start(refund_failed=refund)
    kling.handle.faults([{"kind": "fail_task"}])
    data = kling.extend(kling.source())
    assert (data["task_status"], data["task_status_msg"]) == ("failed", "risk control")
    assert data.get("final_unit_deduction") == (None if refund else "2")
    book = kling.handle.charges()
    assert (book["total_units"], book["charges"][0]["refunded"]) == (units, refund)


def test_seeding_twice_changes_nothing_and_a_contradiction_is_refused(kling: Kling) -> None:
    seed = {"video_id": "again", "duration": 5.1, "model": "kling-v1-5", "mode": "pro"}
    assert kling.handle.seed([seed]) == kling.handle.seed([seed])
    with pytest.raises(SandboxError) as caught:
        kling.handle.seed([{**seed, "duration": 6}])
    check_user_text(str(caught.value))


@pytest.mark.parametrize(
    ("seed", "field"),
    [
        ({"duration": 5}, "video_id"),
        ({"video_id": "x", "duration": "5"}, "duration"),
        ({"video_id": "x", "duration": 5, "mode": "max"}, "mode"),
        ({"video_id": "x", "duration": 5, "created_at": "2026-01-01T00:00:00"}, "zone"),
        ({"video_id": "x", "duration": 5, "account": "unlisted"}, "unlisted"),
        ({"video_id": "x", "duration": 5, "colour": "red"}, "colour"),
    ],
)
def test_an_invalid_seed_is_refused_and_none_of_its_request_is_stored(
    kling: Kling, seed: dict[str, Any], field: str
) -> None:
    with pytest.raises(SandboxError, match=field):
        kling.handle.seed([{"video_id": "innocent", "duration": 5}, seed])
    assert kling.code(kling.submit("innocent")) == (404, 1203)


def test_seeds_of_the_config_are_there_from_the_start(start: Callable[..., Kling]) -> None:
    kling = start(seeds=(Seed(video_id="typed", duration=5), {"video_id": "plain", "duration": 10}))
    assert [kling.submit(name).status_code for name in ("typed", "plain")] == [200, 200]


def test_requests_are_counted_by_method_route_and_status(start: Callable[..., Kling]) -> None:
    kling = start()
    kling.handle.faults([{"kind": "5xx_before", "where": "query", "code": 503}])
    kling.submit("unknown")
    task = kling.submit(kling.source()).json()["data"]["task_id"]
    kling.http.get(f"{PATH}/{task}")
    kling.http.get(f"{PATH}/{task}")
    log = kling.handle.requests()
    rows = {(row["method"], row["route"], row["status"]): row["count"] for row in log["counts"]}
    assert rows == {
        ("POST", PATH, "404"): 1,
        ("POST", PATH, "200"): 1,
        ("GET", f"{PATH}/{{id}}", "503"): 1,
        ("GET", f"{PATH}/{{id}}", "200"): 1,
    }
    assert log["by_route"][f"GET {PATH}/{{id}}"] == 2


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "earthquake"},
        {"kind": "expired_url", "where": "submit"},
        {"kind": "5xx_before", "code": 418},
        {"kind": "reset_after", "times": 0},
        {"kind": "reset_after", "hodl": 1},
        {"kind": "reset_before", "match": {"task_id": "1"}},
        {"kind": "broken_file", "variant": "odd"},
        "reset_after",
    ],
)
def test_an_invalid_fault_is_refused_and_not_armed(kling: Kling, order: Any) -> None:
    with pytest.raises(SandboxError) as caught:
        kling.handle.faults([order])
    check_user_text(str(caught.value))
    assert kling.handle.faults() == []


@pytest.mark.parametrize(
    "wrong",
    [{"run_time": (3, 2)}, {"slots": 0}, {"width": 321}, {"fps": 0}, {"url_ttl": 0}],
    ids=lambda w: next(iter(w)),
)
def test_an_invalid_config_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SandboxError, match=next(iter(wrong))):
        SandboxConfig(**wrong)
