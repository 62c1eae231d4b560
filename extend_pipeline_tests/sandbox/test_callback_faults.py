"""Callbacks with armed faults: doubled, late, dropped, in reverse order; and what each surface posts."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from extend_pipeline.sandbox import GatewayConfig
from extend_pipeline.sandbox.faults.callback_faults import Habits, Notice, notices
from extend_pipeline_tests.sandbox.conftest import Kling, Received, eventually
from extend_pipeline_tests.sandbox.providers.surfaces import Gateway, Luma


def states(received: Received) -> list[str]:
    return [str(json.loads(body)["task_status"]) for _, body in received]


def _has(received: Received, count: int) -> bool:
    return len(received) >= count


def finish(kling: Kling, *, at: float = 1001) -> None:
    """Set the sandbox's clock past the end of every task."""
    kling.handle.set_offset(at)
    eventually(lambda: kling.handle.callbacks()["waiting"] == 0)


def test_doubled_callbacks_post_each_state_twice(start: Callable[..., Kling], receiver: tuple[str, Received]) -> None:
    url, received = receiver
    kling = start(run_time=(1000, 1000))
    kling.handle.faults([{"kind": "callback_double"}])
    kling.submit(kling.source(), callback_url=url)
    for offset, count in ((0, 2), (300, 4), (1001, 6)):
        kling.handle.set_offset(offset)
        eventually(partial(_has, received, count))
    assert states(received) == ["submitted", "submitted", "processing", "processing", "succeed", "succeed"]


def test_late_callbacks_come_after_their_time_with_the_state_of_then(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    kling = start(run_time=(1000, 1000))
    kling.handle.faults([{"kind": "callback_late", "hold": 86_400}])
    kling.submit(kling.source(), callback_url=url)
    kling.handle.set_offset(1001)
    assert kling.handle.callbacks() == {"delivered": 0, "failed": 0, "dropped": 0, "withheld": 0, "waiting": 3}
    for offset, count in ((0, 1), (300, 2), (1001, 3)):
        kling.handle.set_offset(86_401 + offset)
        eventually(partial(_has, received, count))
    assert states(received) == ["submitted", "processing", "succeed"]


def test_late_callbacks_survive_a_restart_after_the_end_of_their_task(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    kling = start("s", run_time=(1000, 1000))
    kling.handle.faults([{"kind": "callback_late", "hold": 5000}])
    kling.submit(kling.source(), callback_url=url)
    kling.handle.stop()
    again = start("s", run_time=(1000, 1000), now_offset=2000.0)
    again.handle.set_offset(7000)
    eventually(partial(_has, received, 3))
    assert sorted(states(received)) == ["processing", "submitted", "succeed"]


def test_dropped_callbacks_never_come_and_are_counted(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    kling = start(run_time=(1000, 1000))
    kling.handle.faults([{"kind": "callback_drop", "times": 2}])
    for name in ("one", "two", "three"):
        kling.submit(kling.source(), callback_url=url, external_task_id=name)
    finish(kling)
    eventually(partial(_has, received, 3))
    assert {json.loads(body)["task_info"]["external_task_id"] for _, body in received} == {"three"}
    assert kling.handle.callbacks()["withheld"] == 6


def test_reordered_callbacks_begin_with_the_end(start: Callable[..., Kling], receiver: tuple[str, Received]) -> None:
    url, received = receiver
    kling = start(run_time=(1000, 1000))
    kling.handle.faults([{"kind": "callback_reorder"}, {"kind": "callback_double"}])
    kling.submit(kling.source(), callback_url=url)
    finish(kling)
    eventually(partial(_has, received, 6))
    assert states(received) == ["succeed", "succeed", "processing", "processing", "submitted", "submitted"]


def test_a_callback_fault_waits_for_a_task_that_has_a_callback_url(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, _ = receiver
    kling = start()
    kling.handle.faults([{"kind": "callback_drop", "match": {"external_task_id": "matched"}}])
    kling.submit(kling.source(), external_task_id="unmatched", callback_url=url)
    kling.submit(kling.source(), external_task_id="other")
    assert kling.handle.faults()[0]["fired"] == 0
    kling.submit(kling.source(), external_task_id="matched", callback_url=url)
    assert kling.handle.faults()[0]["fired"] == 1


@pytest.mark.parametrize("origin_units", [False, True])
def test_a_resellers_callback_is_its_origins_body(
    run: Callable[..., Any], receiver: tuple[str, Received], origin_units: bool
) -> None:
    url, received = receiver
    config = GatewayConfig(passes=frozenset({"callback_url"}), price=Decimal(7), origin_units=origin_units)
    gateway = run(Gateway, gateway=config, run_time=(1000, 1000))
    task_id = gateway.extend(gateway.source(), callback_url=url)
    for offset, count in ((0, 1), (300, 2), (1001, 3)):
        gateway.handle.set_offset(offset)
        eventually(partial(_has, received, count))
    bodies = [json.loads(body) for _, body in received]
    assert [body["task_status"] for body in bodies] == ["submitted", "processing", "succeed"]
    assert all("code" not in body and body["task_id"] == task_id for body in bodies)
    # the units that Kling charged the reseller, never the price that the reseller charges
    assert bodies[-1].get("final_unit_deduction") == ("2" if origin_units else None)


def test_a_notify_hook_posts_each_change_as_a_query_returns_it(
    run: Callable[..., Any], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    luma = run(Luma, run_time=(1000, 1000))
    luma.handle.faults([{"kind": "callback_reorder", "match": {"provider": "luma"}}])
    task_id = luma.extend(luma.source(), notify_hook=url)
    luma.handle.set_offset(1001)
    eventually(partial(_has, received, 3))
    bodies = [json.loads(body) for _, body in received]
    assert [body["state"] for body in bodies] == ["completed", "processing", "pending"]
    assert {body["id"] for body in bodies} == {task_id}
    assert bodies[0].keys() == luma.query(task_id).keys()


def test_no_changes_make_no_notices() -> None:
    assert notices([], Habits(double=True)) == []
    assert notices([1, 2], Habits(drop=True, double=True)) == []
    assert notices([1, 2], Habits(reorder=True, late_s=0.5)) == [Notice(502, (2, 1))]
