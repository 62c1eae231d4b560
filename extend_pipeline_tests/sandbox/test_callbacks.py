"""Callbacks: what is posted when, signed if there is a secret, and without an effect on the task."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import partial

from extend_pipeline_tests.sandbox.conftest import Kling, Received, eventually


def _has(received: Received, count: int) -> bool:
    return len(received) == count


def test_each_change_is_posted_unwrapped_and_without_watermarks(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    kling = start(run_time=(1000, 1000))
    fields = {"external_task_id": "posted", "watermark_info": {"enabled": True}}
    task_id = kling.submit(kling.source(), callback_url=url, **fields).json()["data"]["task_id"]
    for offset, count in ((0, 1), (300, 2), (1001, 3)):
        kling.handle.set_offset(offset)
        eventually(partial(_has, received, count))
    bodies = [json.loads(body) for _, body in received]
    assert [body["task_status"] for body in bodies] == ["submitted", "processing", "succeed"]
    assert {body["task_id"] for body in bodies} == {task_id}
    last = bodies[-1]
    assert "code" not in last
    assert "watermark_info" not in last
    assert "watermark_url" not in last["task_result"]["videos"][0]
    assert last["task_info"]["external_task_id"] == "posted"
    assert last["final_unit_deduction"] == "2"
    assert kling.http.get(last["task_result"]["videos"][0]["url"]).status_code == 200
    assert "webhook-signature" not in received[0][0]


def test_a_secret_signs_callbacks_the_standard_webhooks_way(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    key = b"twenty-four bytes of key"
    kling = start(webhook_secret="whsec_" + base64.b64encode(key).decode())
    kling.submit(kling.source(), callback_url=url)
    eventually(lambda: received)
    headers, body = received[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_a_missing_receiver_is_counted_and_blocks_nothing(start: Callable[..., Kling]) -> None:
    kling = start()
    kling.submit(kling.source(), external_task_id="deaf", callback_url="http://127.0.0.1:9/hook")
    eventually(lambda: kling.handle.callbacks()["failed"] == 1)
    assert kling.query("deaf")["task_status"] == "succeed"


def test_callbacks_that_were_due_later_are_posted_after_a_restart(
    start: Callable[..., Kling], receiver: tuple[str, Received]
) -> None:
    url, received = receiver
    kling = start("s", run_time=(1000, 1000))
    kling.submit(kling.source(), callback_url=url)
    eventually(lambda: len(received) == 1)
    kling.handle.stop()
    again = start("s", run_time=(1000, 1000), now_offset=500.0)
    again.handle.set_offset(1001)
    eventually(lambda: len(received) == 2)
    assert json.loads(received[-1][1])["task_status"] == "succeed"
