"""Delivery to a real HTTP server: what counts as delivered, and within which bounds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from extend_pipeline.alerts.delivery import Delivered, Undelivered
from extend_pipeline.alerts.message import encoded
from extend_pipeline.alerts.receivers import WebhookReceiver
from extend_pipeline.config.model.alerts import Alerts
from extend_pipeline_tests.support.servers.receiver import Receiver, Script, running_receiver
from extend_pipeline_tests.support.user_texts import check_user_text

SECRET_ENV = "TEST_ALERT_SECRET"
KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
MESSAGE = {"version": 1, "id": "alert_1", "title": "films: 雾散了"}
NOW_MS = 1_795_000_000_123


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as server:
        yield server


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_ENV, SECRET)


def webhook(receiver: Receiver, *, deadline_s: float = 10.0, **changes: Any) -> WebhookReceiver:
    written = {"webhook": receiver.url, "secret_env": SECRET_ENV, "allow_local": "true", **changes}
    return WebhookReceiver(Alerts.model_validate(written), deadline_s=deadline_s)


def test_a_message_is_signed_by_standard_webhooks(receiver: Receiver) -> None:
    assert webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS) == Delivered("HTTP 204")
    (request,) = receiver.requests
    assert request.body == encoded(MESSAGE)
    assert request.message == MESSAGE
    headers = request.headers
    assert (headers["content-type"], headers["webhook-id"], headers["webhook-timestamp"]) == (
        "application/json",
        "alert_1",
        "1795000000",
    )
    # as the specification says it, without a line of ours or of its library
    content = b".".join([b"alert_1", b"1795000000", request.body])
    expected = base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


def test_during_a_rotation_both_secrets_sign(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    other = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    monkeypatch.setenv(SECRET_ENV, f"{SECRET} {other}")
    webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS)
    first, second = receiver.requests[0].headers["webhook-signature"].split(" ")
    assert first.startswith("v1,")
    assert second.startswith("v1,")
    assert first != second


def test_without_a_secret_nothing_is_signed_and_the_query_of_the_address_goes_along(receiver: Receiver) -> None:
    address = f"{receiver.url}?access_token=abc"
    assert isinstance(webhook(receiver, webhook=address, secret_env=None).deliver(MESSAGE, now_ms=NOW_MS), Delivered)
    (request,) = receiver.requests
    assert request.path == "/hook?access_token=abc"
    assert "webhook-signature" not in request.headers


def test_an_address_from_the_environment(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = webhook(receiver, webhook=None, webhook_env="TEST_ALERT_URL")
    before = hook.settings_digest
    delivery = hook.deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Undelivered)
    assert delivery.is_setting
    check_user_text(delivery.reason)
    public = webhook(receiver, webhook=None, webhook_env="TEST_ALERT_URL", allow_local=None)
    for wrong in ("ftp://example.com/token", "http://example.com/token", "https://user:token@example.com/"):
        monkeypatch.setenv("TEST_ALERT_URL", wrong)
        delivery = public.deliver(MESSAGE, now_ms=NOW_MS)
        assert isinstance(delivery, Undelivered)
        assert delivery.is_setting
        assert "token" not in delivery.reason
        check_user_text(delivery.reason)
    monkeypatch.setenv("TEST_ALERT_URL", f"{receiver.url}\n")
    assert isinstance(hook.deliver(MESSAGE, now_ms=NOW_MS), Delivered)
    assert hook.settings_digest != before


@pytest.mark.parametrize("value", [None, "whsec_!!", "whsec_c2hvcnQ="])
def test_a_missing_or_broken_secret_is_said_and_nothing_is_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv(SECRET_ENV) if value is None else monkeypatch.setenv(SECRET_ENV, value)
    delivery = webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Undelivered)
    assert delivery.is_setting
    assert value is None or value not in delivery.reason
    check_user_text(delivery.reason)
    assert receiver.requests == []


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 429, 500, 503])
def test_anything_but_2xx_is_no_delivery_and_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    with running_receiver() as elsewhere:
        receiver.script = Script(status, {"location": elsewhere.url}, f"no \x1b[31m {SECRET}".encode())
        delivery = webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS)
        assert elsewhere.requests == []
    assert isinstance(delivery, Undelivered)
    assert not delivery.is_setting
    assert delivery.reason.startswith(f"HTTP {status}: no ")
    assert SECRET not in delivery.reason
    assert "\x1b" not in delivery.reason
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(("status", "is_rejected"), [(302, False), (400, True), (404, True), (413, True), (422, True)])
def test_which_statuses_are_a_rejection(receiver: Receiver, status: int, is_rejected: bool) -> None:
    receiver.script = Script(status)
    delivery = webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Undelivered)
    assert delivery.is_rejected == is_rejected


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_a_receiver_that_is_busy_rejects_nothing(receiver: Receiver, status: int) -> None:
    receiver.script = Script(status)
    assert webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS) == Undelivered(f"HTTP {status}")


@pytest.mark.parametrize(
    "echo",
    [
        "/services/T0SECRET1/B%2FSECRET2?sig=S3%2BSECRET%3D%3D&v=2",
        "no hook /services/T0SECRET1/B%2FSECRET2",
        "no team T0SECRET1, no hook B%2FSECRET2",
        "no hook B/SECRET2",
        "bad sig S3%2BSECRET%3D%3D",
        "bad sig S3+SECRET==",
    ],
)
def test_no_part_of_the_address_that_a_server_repeats_is_shown(receiver: Receiver, echo: str) -> None:
    address = f"{receiver.url.removesuffix('/hook')}/services/T0SECRET1/B%2FSECRET2?sig=S3%2BSECRET%3D%3D&v=2"
    hook = webhook(receiver, webhook=address)
    assert "SECRET" not in repr(hook)
    for status in (200, 404):
        receiver.script = Script(status, body=echo.encode())
        assert "SECRET" not in repr(hook.deliver(MESSAGE, now_ms=NOW_MS))
    assert receiver.requests[0].path.startswith("/services/")


def test_a_huge_reply_is_not_read_to_its_end(receiver: Receiver) -> None:
    receiver.script = Script(200, body=b"x" * 50_000_000)
    begun = time.monotonic()
    delivery = webhook(receiver).deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Delivered)
    assert len(delivery.note) < 300
    assert time.monotonic() - begun < 5


def test_a_receiver_that_hangs_is_given_up_at_the_deadline(receiver: Receiver) -> None:
    receiver.script = Script(wait=threading.Event())
    begun = time.monotonic()
    delivery = webhook(receiver, deadline_s=0.3).deliver(MESSAGE, now_ms=NOW_MS)
    assert time.monotonic() - begun < 3
    receiver.script.wait.set()  # type: ignore[union-attr]
    assert isinstance(delivery, Undelivered)
    check_user_text(delivery.reason)


def test_a_receiver_that_is_not_there(receiver: Receiver) -> None:
    hook = webhook(receiver, webhook="http://127.0.0.1:1/secret-path")
    delivery = hook.deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Undelivered)
    assert not delivery.is_setting
    assert "secret-path" not in delivery.reason


def test_which_settings_make_a_webhook_another_one(receiver: Receiver) -> None:
    digest = webhook(receiver).settings_digest
    same = {"again_after_hours": 1, "warnings": False, "command": ("mail",), "dagster_url": "https://dagster.test"}
    assert webhook(receiver, **same).settings_digest == digest
    others = [{"secret_env": "ANOTHER"}, {"proxy": "http://proxy:3128"}, {"webhook": f"{receiver.url}/other"}]
    assert len({digest, *(webhook(receiver, **changes).settings_digest for changes in others)}) == 4
