"""The state of a receiver over several ticks: one message at a time, the same on each try, and nothing lost."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field

import pytest

from extend_pipeline.alerts.decide import GAP_S
from extend_pipeline.alerts.delivery import Delivered, Delivery, Undelivered
from extend_pipeline.alerts.marks import mark_of
from extend_pipeline.alerts.message import FailedRun, Message, Sender, Waiting, encoded
from extend_pipeline.alerts.outbox import (
    FIRST_GAP_S,
    MAX_AGE_S,
    MAX_GAP_S,
    MAX_REJECTIONS,
    News,
    Outbox,
    compose,
    deliver,
)
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
            Outbox.loaded(self.text).of_settings(self.receiver.settings_digest),
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
    ticks.tick(after_s=GAP_S)
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


def test_a_new_address_gets_all_that_waits_and_no_all_clear_without_an_alert() -> None:
    ticks = Ticks()
    ticks.tick("a", "b", runs_after=5)
    ticks.receiver.settings_digest = "b"
    ticks.tick("a", "b", runs_after=7)
    assert ticks.listed == [["a failed", "b failed"]] * 2
    assert Outbox.loaded(ticks.text).runs_after == 7
    ticks.receiver.settings_digest = "c"
    assert ticks.tick(runs_after=9, after_s=GAP_S) == ""
    assert Outbox.loaded(ticks.text).runs_after == 9


def test_settings_that_are_corrected_while_a_message_waits_bring_all_that_waits_and_its_failed_runs() -> None:
    ticks, run = Ticks(), FailedRun(run_id="r1", job="advance_job", error="boom", ended_at="")
    ticks.tick("a", runs_after=5)  # to a place that takes it and shows it to no reader
    ticks.receiver.reply = Undelivered("HTTP 404")
    ticks.tick("a", "b", failed_runs=[run], runs_after=7, after_s=GAP_S)
    ticks.receiver.settings_digest, ticks.receiver.reply = "b", Delivered("HTTP 200")
    assert Outbox.loaded(ticks.text).of_settings("b").runs_after == 5, "they are read from there on"
    ticks.tick("a", "b", failed_runs=[run], runs_after=7)
    assert ticks.listed[-1] == ["a failed", "b failed"]
    assert [entry["run_id"] for entry in ticks.receiver.messages[-1]["failed_runs"]] == ["r1"]


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


def test_a_message_that_is_rejected_is_given_up_and_all_that_waits_is_reported_anew() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 400", is_rejected=True)))
    given_up = [part for _ in range(8) if "given up" in (part := ticks.tick("a"))]
    check_user_text(given_up[0])
    assert len(ticks.receiver.messages) == MAX_REJECTIONS
    first_id = ticks.receiver.messages[0]["id"]
    ticks.tick("a", "b")
    second = ticks.receiver.messages[-1]
    assert (second["kind"], second["waits"], len(second["waiting"])) == ("alert", 2, 2)
    assert second["id"] != first_id
    check_user_text(second["title"])
    tries, begun_s = len(ticks.receiver.messages), ticks.now_s
    while len(ticks.receiver.messages) == tries:
        ticks.tick("a", "b")
    assert ticks.now_s - begun_s == MAX_GAP_S, "another message is no reason to try more often"
    ticks.receiver.reply = Delivered("HTTP 200")
    ticks.tick("a", "b", after_s=MAX_GAP_S)
    ticks.tick("a", "b", "c", after_s=GAP_S)
    assert ticks.listed[-1] == ["c failed"]
    assert "earlier alert" not in ticks.receiver.messages[-1]["title"]


@pytest.mark.parametrize("reply", [Undelivered("HTTP 500"), Undelivered("no variable X", is_setting=True)])
def test_a_message_of_yesterday_is_given_up_and_never_sent_late(reply: Undelivered) -> None:
    ticks = Ticks(Recorder(reply))
    ticks.tick("old")
    yesterday = ticks.receiver.messages[0]["id"]
    while "given up" not in ticks.tick("old", after_s=MAX_GAP_S):
        assert ticks.now_s - NOW_S < MAX_AGE_S
    ticks.receiver.reply = Delivered("HTTP 200")
    tries = len(ticks.receiver.messages)
    ticks.tick("new")
    ticks.tick("new", after_s=GAP_S)
    (message,) = ticks.receiver.messages[tries:]
    assert message["id"] != yesterday
    assert [item["happened"] for item in message["waiting"]] == ["new failed"]


def test_where_nothing_waits_any_more_the_next_message_still_says_that_one_was_lost() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 410", is_rejected=True)))
    while "given up" not in ticks.tick("a"):
        assert ticks.now_s - NOW_S < MAX_AGE_S
    ticks.receiver.reply = Delivered("HTTP 200")
    ticks.tick()
    last = ticks.receiver.messages[-1]
    assert last["kind"] == "all_clear"
    check_user_text(last["title"])
    assert ticks.tick(after_s=GAP_S) == ""


def test_the_all_clear_of_a_lost_message_follows_an_alert_of_failed_runs() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 410", is_rejected=True)))
    run = FailedRun(run_id="r1", job="advance_job", error="boom", ended_at="")
    while "given up" not in ticks.tick("a"):
        assert ticks.now_s - NOW_S < MAX_AGE_S
    ticks.receiver.reply, tries = Delivered("HTTP 200"), len(ticks.receiver.messages)
    ticks.tick(failed_runs=[run], runs_after=7)
    ticks.tick(after_s=GAP_S, runs_after=7)
    assert [message["kind"] for message in ticks.receiver.messages[tries:]] == ["alert", "all_clear"]


def test_an_all_clear_that_fails_by_its_settings_is_sent_once_they_are_corrected() -> None:
    ticks = Ticks()
    ticks.tick("a")
    ticks.receiver.reply = Undelivered("no file ca.pem", is_setting=True)
    ticks.tick(after_s=GAP_S)
    ticks.receiver.settings_digest, ticks.receiver.reply = "b", Delivered("HTTP 200")
    ticks.tick(after_s=1)
    assert ticks.receiver.messages[-1]["kind"] == "all_clear"
    assert ticks.tick(after_s=GAP_S) == ""


def test_failed_runs_of_a_message_that_was_given_up_are_read_again() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 413", is_rejected=True)))
    run = FailedRun(run_id="r1", job="advance_job", error="boom", ended_at="")
    ticks.tick(runs_after=5)
    ticks.tick(failed_runs=[run], runs_after=7)
    while "given up" not in ticks.tick():
        assert ticks.now_s - NOW_S < MAX_AGE_S
    assert Outbox.loaded(ticks.text).runs_after == 5


def test_failed_runs_since_a_first_message_that_was_given_up_are_read() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 413", is_rejected=True)))
    ticks.tick("a", runs_after=5)
    while "given up" not in ticks.tick("a", runs_after=9):
        assert ticks.now_s - NOW_S < MAX_AGE_S
    assert Outbox.loaded(ticks.text).runs_after == 5


def test_a_closed_home_is_reported_as_what_alone_is_known() -> None:
    ticks = Ticks()
    ticks.tick("a")
    assert ticks.tick(after_s=86_400, is_whole=False) == "", "no empty reminder"
    ticks.tick("home", is_whole=False)
    check_user_text(ticks.receiver.messages[-1]["title"])
    ticks.tick("a")
    assert [message["kind"] for message in ticks.receiver.messages] == ["alert", "alert", "reminder"]


def test_the_state_of_an_earlier_version_is_read() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 500")))
    ticks.tick("a")
    state = json.loads(ticks.text)
    del state["has_lost"], state["pending"]["runs_before"]
    assert Outbox.loaded(json.dumps(state)) == Outbox.loaded(ticks.text)


@pytest.mark.parametrize("text", ["", "{}", "[]", "x", '{"reported": 1, "pending": null}'])
def test_a_state_that_can_not_be_read_begins_anew(text: str) -> None:
    assert Outbox.loaded(text) == Outbox()


def test_the_state_stays_small_with_ten_thousand_things() -> None:
    ticks = Ticks(Recorder(Undelivered("HTTP 500")))
    ticks.tick(*(mark_of(str(number)) for number in range(10_000)))
    assert len(ticks.text.encode()) < 64 * 1024
