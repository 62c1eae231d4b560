"""What waits for a person, over several ticks of alert_sensor: the checks that it keeps up to date, and what an alert
says of it."""

from __future__ import annotations

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.checks import needs
from extend_pipeline.dagster_defs.sensors.alert import STATE_KEY
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.needs import Need
from extend_pipeline_tests.dagster_defs.sensors.alert.conftest import (
    HOUR,
    ONE_HOP,
    Ticks,
    only_item,
    shown,
)
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def test_a_stopped_account(own_ticks: Ticks) -> None:
    own_ticks.write(*(video(key, extend=ONE_HOP) for key in ("one", "two", "three")))
    own_ticks.place.sandbox.faults([{"kind": "no_money", "where": "submit", "times": 99}])
    own_ticks.advance()
    checks = own_ticks.checks(own_ticks.tick())
    assert {name: check.severity for name, check in checks.items()} == {
        "nobody_is_needed": ERROR,
        "accounts_run": ERROR,
    }
    assert not checks["nobody_is_needed"].passed
    message = own_ticks.last
    assert (message["kind"], message["waits"], message["urgent"]) == ("alert", 1, 1)
    assert shown(message, "kind", "urgent", "hop", "account", "charge") == (
        "account_stopped",
        True,
        None,
        "sandbox",
        None,
    )
    item = only_item(message)
    assert sorted(item["videos"]) == ["one", "three", "two"]
    assert item["words"]
    check_user_text(message["text"])


@pytest.mark.parametrize("kind", ["content_refusal", "code_1201"])
def test_a_refused_request(own_ticks: Ticks, kind: str) -> None:
    own_ticks.write(video("one"), video("fine", extend=ONE_HOP), in_doubt={"settle": 0.1})
    match = {"video_id": own_ticks.place.source("one")}
    own_ticks.place.sandbox.faults([{"kind": kind, "where": "submit", "times": 99, "match": match}])
    own_ticks.advance()
    checks = own_ticks.checks(own_ticks.tick())
    assert (checks["nobody_is_needed"].passed, checks["nobody_is_needed"].severity) == (False, WARN)
    assert checks["accounts_run"].passed
    assert shown(own_ticks.last, "urgent", "videos", "hop", "charge") == (False, ["one"], 1, "not charged")
    assert only_item(own_ticks.last)["words"]
    check_user_text(own_ticks.last["text"])


@pytest.mark.parametrize(
    ("charged", "charge"),
    [("yes", "charged 2 kling-unit = 0.28 USD (estimated)"), ("no", "not charged")],
)
def test_a_failed_hop(own_ticks: Ticks, charged: str, charge: str) -> None:
    own_ticks.write(video("one"), failed_tasks_charged=charged)
    own_ticks.place.sandbox.faults(
        [
            {"kind": "fail_task", "where": "submit"},
            {"kind": "no_unit_deduction", "where": "query", "times": 99},
            {"kind": "no_unit_deduction", "where": "list", "times": 99},
        ]
    )
    own_ticks.advance()
    checks = own_ticks.checks(own_ticks.tick())
    assert (checks["nobody_is_needed"].passed, checks["nobody_is_needed"].severity) == (False, WARN)
    assert shown(own_ticks.last, "kind", "urgent", "videos", "hop", "charge") == ("failed", False, ["one"], 1, charge)
    check_user_text(own_ticks.last["text"])


def test_money_in_doubt_for_over_an_hour(own_ticks: Ticks) -> None:
    own_ticks.write(video("one"), submit_class="C")
    own_ticks.place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    own_ticks.advance()
    early = own_ticks.checks(own_ticks.tick())
    assert early["nobody_is_needed"].severity is WARN
    first = own_ticks.last
    assert shown(first, "kind", "urgent", "videos", "hop") == ("in_doubt", False, ["one"], 1)
    late = own_ticks.checks(own_ticks.tick(2 * HOUR))
    assert late["nobody_is_needed"].severity is ERROR
    second = own_ticks.last
    assert second["id"] != first["id"]
    assert shown(second, "kind", "urgent") == ("in_doubt", True)
    check_user_text(only_item(second)["charge"])
    own_ticks.tick(HOUR)
    assert len(own_ticks.receiver.requests) == 2, "its age alone is nothing new"
    with own_ticks.place.resource.open() as pipeline:
        assert isinstance(resolve.write_off(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    after = own_ticks.checks(own_ticks.tick())
    assert after["nobody_is_needed"].severity is WARN


def test_a_result_that_is_about_to_expire(own_ticks: Ticks) -> None:
    own_ticks.write(video("one"))
    own_ticks.place.pay_without_fetching()
    assert own_ticks.checks(own_ticks.tick())["nobody_is_needed"].passed
    assert own_ticks.receiver.requests == []
    late = own_ticks.checks(own_ticks.tick(30 * 24 * HOUR - HOUR / 2))
    assert (late["nobody_is_needed"].passed, late["nobody_is_needed"].severity) == (False, ERROR)
    assert shown(own_ticks.last, "urgent", "videos", "hop", "account") == (True, ["one"], 1, "sandbox")
    check_user_text(own_ticks.last["text"])


def test_the_checks_follow_what_a_person_does_without_a_run_and_without_alerts(ticks: Ticks) -> None:
    ticks.write(alerts={})
    ticks.configure(None)
    first = ticks.checks(ticks.tick())
    assert [check.passed for check in first.values()] == [True, True]
    assert ticks.tick().asset_events == []
    ticks.stop()
    red = ticks.checks(ticks.tick())
    assert {name: (check.passed, check.severity) for name, check in red.items()} == {
        "nobody_is_needed": (False, ERROR),
        "accounts_run": (False, ERROR),
    }
    quiet = ticks.tick()
    assert quiet.asset_events == []
    check_user_text(quiet.skip_message)
    ticks.stop(resume=True)
    green = ticks.checks(ticks.tick())
    assert [check.passed for check in green.values()] == [True, True]
    assert ticks.receiver.requests == []
    assert ticks.place.instance.daemon_cursor_storage.get_cursor_values({f"{STATE_KEY}/all/webhook"}) == {}


def test_what_waits_is_looked_up_once_a_tick(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up_again(_pipeline: object) -> list[Need]:
        raise AssertionError("a second look")

    ticks.write()
    ticks.stop()
    monkeypatch.setattr(needs, "needs_now", look_up_again)
    check = ticks.checks(ticks.tick())["nobody_is_needed"]
    assert (check.passed, check.severity, check.metadata["findings"].value) == (False, ERROR, 1)
