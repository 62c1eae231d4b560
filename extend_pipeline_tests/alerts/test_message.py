"""The message: what it names, in which order, and within which bounds."""

from __future__ import annotations

import json
import os
from dataclasses import replace

from extend_pipeline.alerts.decide import Decision, Kind, Reported
from extend_pipeline.alerts.message import (
    MAX_BYTES,
    MAX_CELL,
    MAX_LINE,
    FailedRun,
    Sender,
    Waiting,
    build_message,
    encoded,
    waiting_marks,
)
from extend_pipeline_tests.support.user_texts import check_user_text

NOW_S = 1_795_000_000
SENDER = Sender(home="/srv/videos", mount="films")


def waiting(name: str, *, is_urgent: bool = False, words: str = "no") -> Waiting:
    return Waiting(
        ids=(name,),
        kind="failed",
        videos=(name,),
        hop=1,
        account="k",
        message=f"{name}/1 failed",
        charge="not charged",
        words=words,
        todo=f"extend-pipeline resolve {name}/1 resubmit",
        is_urgent=is_urgent,
        sentence=f"{name}/1 failed; not charged → extend-pipeline resolve {name}/1 resubmit",
    )


def decision(kind: Kind, listed: list[Waiting], new: list[Waiting] | None = None) -> Decision:
    return Decision(
        kind=kind,
        listed=frozenset(waiting_marks(listed)),
        new=frozenset(waiting_marks(listed if new is None else new)),
        after=Reported(),
    )


def test_the_message_has_what_waits_new_and_urgent_first() -> None:
    things = [waiting("old"), waiting("new"), waiting("late", is_urgent=True)]
    run = FailedRun(
        run_id="r1", job="advance_job", error="boom", ended_at="2026-11-18T00:00:00Z", url="https://d/runs/r1"
    )
    message = build_message("alert_1", decision(Kind.ALERT, things, things[1:]), SENDER, things, [run], now_s=NOW_S)
    assert {name: message[name] for name in ("version", "id", "kind", "at", "home", "mount", "waits", "urgent")} == {
        "version": 1,
        "id": "alert_1",
        "kind": "alert",
        "at": "2026-11-18T11:06:40Z",
        "home": "/srv/videos",
        "mount": "films",
        "waits": 3,
        "urgent": 1,
    }
    assert [(item["videos"], item["new"], item["urgent"]) for item in message["waiting"]] == [
        (["late"], True, True),
        (["new"], True, False),
        (["old"], False, False),
    ]
    check_user_text(message["waiting"][1]["helps"])
    assert {name: value for name, value in message["waiting"][1].items() if name != "helps"} == {
        "kind": "failed",
        "urgent": False,
        "new": True,
        "videos": ["new"],
        "more_videos": 0,
        "hop": 1,
        "account": "k",
        "happened": "new/1 failed",
        "charge": "not charged",
        "words": "no",
    }
    assert message["failed_runs"] == [
        {
            "run_id": "r1",
            "job": "advance_job",
            "error": "boom",
            "ended_at": "2026-11-18T00:00:00Z",
            "url": "https://d/runs/r1",
        }
    ]
    assert (message["more_waiting"], message["more_failed_runs"]) == (0, 0)
    check_user_text(message["text"])
    assert json.loads(encoded(message)) == message


def test_titles_of_each_kind() -> None:
    things = [waiting("a"), waiting("b")]
    for kind, listed in ((Kind.ALERT, things[:1]), (Kind.REMINDER, things), (Kind.ALL_CLEAR, []), (Kind.TEST, [])):
        all_of_it = things if listed else []
        message = build_message("alert_1", decision(kind, listed), SENDER, all_of_it, now_s=NOW_S)
        assert message["text"].startswith(message["title"])
        check_user_text(message["title"])
    run = FailedRun(run_id="r1", job="j", error="", ended_at="")
    check_user_text(build_message("a", decision(Kind.ALERT, []), SENDER, [], [run], now_s=NOW_S)["title"])


def test_fifty_are_shown_and_the_others_counted() -> None:
    things = [waiting(f"v{number}") for number in range(53)]
    runs = [FailedRun(run_id=f"r{n}", job="j", error="boom", ended_at="") for n in range(51)]
    message = build_message("alert_1", decision(Kind.ALERT, things), SENDER, things, runs, now_s=NOW_S)
    assert (len(message["waiting"]), message["more_waiting"], message["waits"]) == (50, 3, 53)
    assert (len(message["failed_runs"]), message["more_failed_runs"]) == (50, 1)
    assert "and 94 more" in message["text"]


def test_a_message_never_has_more_bytes_than_its_limit() -> None:
    things = [waiting(f"v{number}", words="雾散了🌫️\ud800" * 400) for number in range(10_000)]
    runs = [FailedRun(run_id=f"r{n}", job="j" * 100, error="雾" * 5000, ended_at="") for n in range(60)]
    message = build_message("alert_1", decision(Kind.ALERT, things), SENDER, things, runs, now_s=NOW_S)
    assert MAX_BYTES // 2 < len(encoded(message)) <= MAX_BYTES
    assert len(message["waiting"]) + message["more_waiting"] == 10_000
    assert len(message["failed_runs"]) + message["more_failed_runs"] == 60
    assert message["waiting"]


def test_one_run_that_is_too_large_for_a_message_is_cut_and_its_link_left_out() -> None:
    long = "x" * 33_000
    run = FailedRun(run_id="r1", job=long, error=long, ended_at="", url=f"https://d/{long}")
    sender = Sender(home=f"/{long}/videos", mount=long)
    thing = replace(waiting("a"), videos=(long,))
    message = build_message("a", decision(Kind.ALERT, [thing]), sender, [thing], [run], now_s=NOW_S)
    assert len(encoded(message)) <= MAX_BYTES
    assert (message["more_waiting"], message["more_failed_runs"]) == (1, 1)
    message = build_message("a", decision(Kind.ALERT, []), sender, [], [run], now_s=NOW_S)
    (shown,) = message["failed_runs"]
    assert (len(shown["job"]), len(shown["error"]), shown["url"]) == (MAX_LINE, MAX_LINE, None)
    assert max(len(message[name]) for name in ("home", "mount", "title")) == MAX_CELL


def test_the_texts_stay_within_the_limit_where_each_character_takes_six_bytes() -> None:
    words = "\x01" * 5_000
    things = [replace(waiting(f"v{number}"), sentence=words, message=words) for number in range(20)]
    sender = Sender(home=f"/{words}", mount=words)
    message = build_message("a", decision(Kind.ALERT, things), sender, things, now_s=NOW_S)
    assert len(encoded(message)) <= MAX_BYTES


def test_a_folder_that_is_not_utf_8_can_be_stored_and_sent() -> None:
    sender = Sender(home=os.fsdecode(b"/srv/f\xfclme"))
    message = build_message("a", decision(Kind.ALERT, [waiting("a")]), sender, [waiting("a")], now_s=NOW_S)
    assert message["home"] == "/srv/f?lme"
    assert "f?lme" in message["title"]
    assert json.loads(encoded(message)) == message


def test_the_title_says_what_is_not_known_and_what_was_lost() -> None:
    things = [waiting("a")]
    message = build_message(
        "a", decision(Kind.ALERT, things), SENDER, things, now_s=NOW_S, is_whole=False, has_lost=True
    )
    check_user_text(message["title"])


def test_words_of_a_provider_call_no_one_and_link_nowhere_in_a_chat() -> None:
    words = "<!channel> <http://example.com|click> @here &lt;"
    thing = Waiting(ids=("a",), kind="failed", message="failed", words=words, todo="t", sentence=f"failed: {words}")
    message = build_message("alert_1", decision(Kind.ALERT, [thing]), SENDER, [thing], now_s=NOW_S)
    assert not {"<", ">", "@"} & set(message["text"])
    assert message["waiting"][0]["words"] == words


def test_a_group_names_its_first_videos() -> None:
    keys = tuple(f"v{number}" for number in range(400))
    thing = Waiting(
        ids=("stop",), kind="account_stopped", videos=keys, account="k", message="m", todo="t", sentence="s"
    )
    message = build_message("alert_1", decision(Kind.ALERT, [thing]), SENDER, [thing], now_s=NOW_S)
    (item,) = message["waiting"]
    assert (item["videos"], item["more_videos"], item["hop"]) == (["v0", "v1", "v2", "v3", "v4"], 395, None)
