"""Ticks of alert_sensor in a place, with a receiver of its alerts."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest
import time_machine

from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.servers.receiver import Receiver, running_receiver
from extend_pipeline_tests.support.user_texts import check_user_text

MINUTE = datetime.timedelta(minutes=1)
HOUR = datetime.timedelta(hours=1)
KEY = bytes(range(32))
SECRET = "TEST_ALERT_SECRET"
SIGNING_SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass
class Ticks:
    """Ticks of alert_sensor in a place of its own, and the receiver that its accounts.yaml names."""

    place: Place
    receiver: Receiver
    cursor: str | None = None
    time: datetime.timedelta = datetime.timedelta()

    def write(self, *entries: dict[str, Any], alerts: dict[str, Any] | None = None, **account: Any) -> None:
        """Write the home; by default one video of one hop, and alerts that go to the receiver, signed."""
        self.place.write(entries or [video("one", extend=ONE_HOP)], **account)
        section = {"webhook": self.receiver.url, "secret_env": SECRET, "allow_local": True}
        self.configure(section if alerts is None else alerts)

    def configure(self, alerts: dict[str, Any] | None) -> None:
        """Write another section `alerts`; None takes it out."""
        path = self.place.home / "accounts.yaml"
        written = json.loads(path.read_text())
        written.pop("alerts", None)
        path.write_text(json.dumps(written | ({} if alerts is None else {"alerts": alerts}), indent=1))

    def tick(self, after: datetime.timedelta = MINUTE) -> Any:
        """Tick some time after the last one."""
        self.time += after
        with time_machine.travel(datetime.datetime.now(datetime.UTC) + self.time, tick=True):
            data = self.place.sensor("alert_sensor", cursor=self.cursor)
        self.cursor = data.cursor
        return data

    def checks(self, data: Any) -> dict[str, dg.AssetCheckEvaluation]:
        """Return the evaluations of a tick, by name."""
        return {event.check_name: event for event in data.asset_events}

    @property
    def last(self) -> dict[str, Any]:
        """Return the last message, whose signature is checked by the specification alone."""
        request = self.receiver.requests[-1]
        sent = [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), request.body]
        digest = hmac.new(KEY, b".".join(sent), hashlib.sha256).digest()
        assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert request.headers["webhook-id"] == request.message["id"]
        return request.message

    def advance(self) -> None:
        """Run advance_job."""
        assert self.place.advance().success

    def stop(self, *, resume: bool = False) -> None:
        """Stop the account, as an empty balance does, or let it go on again."""
        with (
            self.place.resource.open() as pipeline,
            pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx,
        ):
            if resume:
                controls.resume(tx, "sandbox", why="t")
            else:
                controls.stop_account(tx, "sandbox", reason="no_money", message="the balance is empty")


@pytest.fixture
def ticks(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    """Yield ticks in a place."""
    monkeypatch.setenv(SECRET, SIGNING_SECRET)
    with running_receiver() as receiver:
        yield Ticks(place, receiver)


@pytest.fixture
def own_ticks(own_place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticks]:
    """Yield ticks in a place with a sandbox of its own."""
    monkeypatch.setenv(SECRET, SIGNING_SECRET)
    with running_receiver() as receiver:
        yield Ticks(own_place, receiver)


def only_item(message: dict[str, Any]) -> dict[str, Any]:
    """Return the one thing that a message lists."""
    (item,) = message["waiting"]
    assert (message["more_waiting"], item["new"]) == (0, True)
    check_user_text(item["helps"])
    return dict(item)


def shown(message: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Return some fields of the one thing that a message lists."""
    item = only_item(message)
    return tuple(item[name] for name in names)
