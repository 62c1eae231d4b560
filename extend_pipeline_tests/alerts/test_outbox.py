"""The state of a receiver over several ticks: one message at a time, the same on each try, and nothing lost."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from extend_pipeline.alerts.decide import GAP_S, mark_of
from extend_pipeline.alerts.delivery import Delivered, Delivery, Undelivered
from extend_pipeline.alerts.message import FailedRun, Message, Sender, Waiting, encoded
from extend_pipeline.alerts.outbox import FIRST_GAP_S, MAX_GAP_S, News, Outbox, compose, deliver
from extend_pipeline_tests.support.user_texts import check_user_text

NOW_S = 1_795_000_000
SENDER = Sender(home="/srv/videos", mount="films")


def thing(name: str) -> Waiting:
    return Waiting(ids=(name,), kind="failed", message=f"{name} failed", todo="", sentence=f"{name} failed")


@dataclass
class Recorder:
    """A receiver that replies as it is set to, and keeps what it gets."""

    reply: Delivery = field(default_factory=lambda: Delivered("HTTP 204"))
    messages: list[Message] = field(default_factory=list)
    name: str = "webhook"
    settings_digest: str = "a"

    def deliver(self, message: Message, *, now_ms: int) -> Delivery:
        self.messages.append(message)
        return self.reply


@dataclass
class Ticks:
    """Consecutive ticks of one receiver, whose state is stored as text between them."""

    receiver: Recorder = field(default_factory=Recorder)
    text: str = ""
    now_s: int = NOW_S
    saved: list[str] = field(default_factory=list)

    def tick(self, *names: str, after_s: int = 60, **news: object) -> str:
        """Tick some seconds after the last one; return what happened."""
        self.now_s += after_s
        waiting = [thing(name) for name in names]
        outbox = compose(
            Outbox.loaded(self.text),
            News(waiting=waiting, **news),  # type: ignore[arg-type]
            SENDER,
            now_s=self.now_s,
            again_after_s=86_400,
        )
        outbox, part = deliver(
            outbox, self.receiver, now_s=self.now_s, save=lambda state: self.saved.append(state.text)
        )
        self.text = outbox.text
        return part

    @property
    def listed(self) -> list[list[str]]:
        return [[item["happened"] for item in message["waiting"]] for message in self.receiver.messages]


def test_each_thing_is_sent_once_and_the_end_too() -> None:
    ticks = Ticks()
    check_user_text(ticks.tick("a"))
    assert ticks.tick("a") == ""
    ticks.tick("a", "b", after_s=GAP_S)
    ticks.tick()
    assert ticks.tick() == ""
    assert ticks.listed == [["a failed"], ["b failed"], []]
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert", "alert", "all_clear"]
    assert len({message["id"] for message in ticks.receiver.messages}) == 3


def test_a_refused_message_is_tried_again_as_it_is_with_growing_gaps_and_what_is_new_follows() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 500")))
    check_user_text(ticks.tick("a"))
    tried_at = [ticks.now_s]
    for _ in range(60):
        check_user_text(ticks.tick("a", "b"))
        if len(ticks.receiver.messages) > len(tried_at):
            tried_at.append(ticks.now_s)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tried_at)]
    assert gaps[:5] == [FIRST_GAP_S, 120, 240, 480, MAX_GAP_S]
    assert set(gaps[4:]) == {MAX_GAP_S}
    assert len({encoded(message) for message in ticks.receiver.messages}) == 1
    ticks.receiver.reply = Delivered("HTTP 200")
    for _ in range(20):
        ticks.tick("a", "b")
    assert ticks.listed[-2:] == [["a failed"], ["b failed"]]
    assert ticks.receiver.messages[-1]["id"] != ticks.receiver.messages[-2]["id"]


def test_a_process_that_is_killed_while_it_sends_sends_the_same_message_again() -> None:
    ticks = Ticks()
    ticks.tick("a")
    (before,) = ticks.saved
    ticks.text = before  # what a kill would have left
    ticks.tick("a")
    first, second = ticks.receiver.messages
    assert encoded(first) == encoded(second)


def test_a_setting_that_is_missing_costs_no_wait() -> None:
    ticks = Ticks(Recorder(Undelivered("the environment variable X is not set", is_setting=True)))
    first = ticks.tick("a")
    check_user_text(first)
    assert ticks.tick("a") == first
    ticks.receiver.reply = Delivered("HTTP 200")
    assert "sent" in ticks.tick("a")
    assert len({message["id"] for message in ticks.receiver.messages}) == 1


def test_changed_settings_are_tried_at_once() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 404")))
    for _ in range(10):
        ticks.tick("a")
    tries = len(ticks.receiver.messages)
    ticks.receiver.settings_digest, ticks.receiver.reply = "b", Delivered("HTTP 200")
    ticks.tick("a", after_s=1)
    assert len(ticks.receiver.messages) == tries + 1


def test_failed_runs_are_reported_once_and_wait_with_what_is_gathered() -> None:
    ticks, run = Ticks(), FailedRun(run_id="r1", job="advance_job", error="boom", ended_at="")
    ticks.tick(runs_after=5)
    assert Outbox.loaded(ticks.text).runs_after == 5
    ticks.tick(failed_runs=[run], runs_after=7)
    assert Outbox.loaded(ticks.text).runs_after == 7
    assert [entry["run_id"] for entry in ticks.receiver.messages[0]["failed_runs"]] == ["r1"]
    ticks.tick(failed_runs=[run], runs_after=9)  # too early: it is read again
    assert (Outbox.loaded(ticks.text).runs_after, len(ticks.receiver.messages)) == (7, 1)
    ticks.tick(failed_runs=[run, run], runs_after=11, after_s=GAP_S)
    assert len(ticks.receiver.messages[1]["failed_runs"]) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", "x", '{"reported": 1, "pending": null}'])
def test_a_state_that_can_not_be_read_begins_anew(text: str) -> None:
    assert Outbox.loaded(text) == Outbox()


def test_the_state_stays_small_with_ten_thousand_things() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 500")))
    ticks.tick(*(mark_of(str(number)) for number in range(10_000)))
    assert len(ticks.text.encode()) < 64 * 1024
