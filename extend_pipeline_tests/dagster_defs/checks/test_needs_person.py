"""What waits for a person, as people see it in Dagster: on the checks, in a run's tag and last line, and on the page of
the request."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest
import time_machine

from extend_pipeline.dagster_defs.checks.needs import NEEDS_PERSON_TAG
from extend_pipeline.dagster_defs.checks.outcome import as_text
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import ACCESS_ENV, video
from extend_pipeline_tests.support.user_texts import check_user_text

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
HOUR = datetime.timedelta(hours=1)
EMPTY = "the balance is *empty*"
COLUMNS = ["video", "hop", "account", "what happened", "charge", "the provider's words", "what helps"]


@dataclass
class Ended:
    """The end of a run: the evaluations of its checks, its tag, and its last line."""

    checks: Mapping[str, dg.AssetCheckEvaluation]
    tag: str | None
    last_line: str

    @property
    def is_quiet(self) -> bool:
        """Return whether the run says nothing of a person."""
        checks = (self.checks["nobody_is_needed"], self.checks["accounts_run"])
        return all(check.passed for check in checks) and self.tag is None and not self.last_line

    def rows(self, check: str, table: str) -> list[list[str]]:
        """Return the cells of a Markdown table in a check's metadata."""
        shown = self.checks[check].metadata[table]
        assert isinstance(shown, dg.MarkdownMetadataValue)
        lines = [line for line in str(shown.value).splitlines() if line.startswith("|")]
        return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (lines[0], *lines[2:])]


def run(place: Place, *, later: datetime.timedelta | None = None, **config: Any) -> Ended:
    """Run advance_job, now or some time from now, and return its end. The run is always a success."""
    moment = None if later is None else time_machine.travel(datetime.datetime.now(datetime.UTC) + later, tick=True)
    with moment or nullcontext():
        result = place.advance(**config)
    assert result.success
    return end_of(place, result)


def end_of(place: Place, result: dg.ExecuteInProcessResult) -> Ended:
    entries = place.instance.all_logs(result.run_id)
    kinds = [entry.dagster_event_type for entry in entries]
    end = kinds.index(dg.DagsterEventType.STEP_SUCCESS)
    last = entries[end - 1]
    record = place.instance.get_run_by_id(result.run_id)
    assert record is not None
    return Ended(
        {check.check_name: check for check in result.get_asset_check_evaluations()},
        record.tags.get(NEEDS_PERSON_TAG),
        "" if last.is_dagster_event else last.user_message,
    )


def needs(ended: Ended) -> list[list[str]]:
    """Return the rows of what waits, after a look at the columns and at what a run says besides."""
    head, *rows = ended.rows("nobody_is_needed", "waiting")
    assert head == COLUMNS
    check = ended.checks["nobody_is_needed"]
    assert not check.passed
    assert ended.tag == str(check.metadata["findings"].value)
    assert as_text(str(check.description)) in ended.last_line
    return rows


def request(place: Place, key: str) -> dict[str, Any]:
    """Return what the page of a request shows, and its line in the list of events."""
    materialization = place.latest("extension_requests", key)
    assert materialization is not None
    shown = {name: entry.value for name, entry in materialization.metadata.items()}
    check_user_text(str(materialization.description))
    return shown


def test_nothing_waits_where_all_is_well(own_place: Place) -> None:
    own_place.write([video("one", extend=ONE_HOP)])
    assert run(own_place).is_quiet
    shown = request(own_place, "one")
    assert (shown["state"], shown["charge"], shown["error"]) == ("succeeded", "charged", "-")
    assert (shown["charged"], shown["amount"]) == ("2 kling-unit", "0.28 USD (reported)")
    assert "reserved" not in shown
    count = own_place.count("extension_requests")
    assert run(own_place).is_quiet
    assert own_place.count("extension_requests") == count, "an end is written once, not once a run"


def test_a_stopped_account_is_one_thing_and_an_error_on_both_checks(own_place: Place) -> None:
    own_place.write([video(key, extend=ONE_HOP) for key in ("one", "two", "three")])
    own_place.sandbox.faults([{"kind": "no_money", "where": "submit", "times": 99}])
    ended = run(own_place)
    ((videos, hop, account, _, cost, words, todo),) = needs(ended)
    assert (videos.split(", "), hop, account, cost, ended.tag) == (["one", "two", "three"], "", "sandbox", "", "1")
    assert words
    check_user_text(todo)
    assert ended.checks["nobody_is_needed"].severity is ERROR
    assert ended.checks["nobody_is_needed"].metadata["videos"].value == 3
    _, (name, what, said, helps) = ended.rows("accounts_run", "accounts")
    assert (name, said, helps) == (account, words, todo)
    assert what.startswith("stopped")
    assert ended.checks["accounts_run"].severity is ERROR
    check_user_text(ended.last_line)
    check_user_text(str(ended.checks["accounts_run"].description))
    own_place.sandbox.clear_faults()
    with own_place.resource.open() as pipeline, pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
        controls.resume(tx, "sandbox", why="t")
    assert run(own_place).is_quiet


def test_a_stop_that_holds_up_no_video_is_shown_all_the_same(own_place: Place) -> None:
    own_place.write([video("one", extend=ONE_HOP)])
    assert run(own_place).is_quiet
    with own_place.resource.open() as pipeline, pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
        controls.stop_account(tx, "sandbox", reason="no_money", message=EMPTY)
    ended = run(own_place)
    ((videos, _, account, _, _, words, _),) = needs(ended)
    assert (videos, account, words) == ("", "sandbox", EMPTY.replace("*", r"\*"))
    assert ended.checks["nobody_is_needed"].severity is ERROR


@pytest.mark.parametrize("kind", ["content_refusal", "code_1201"])
def test_a_refused_request_is_a_warning_and_its_page_says_not_charged(own_place: Place, kind: str) -> None:
    own_place.write([video("one"), video("fine", extend=ONE_HOP)], in_doubt={"settle": 0.1})
    match = {"video_id": own_place.source("one")}
    own_place.sandbox.faults([{"kind": kind, "where": "submit", "times": 99, "match": match}])
    ended = run(own_place)
    ((videos, hop, account, _, cost, words, todo),) = needs(ended)
    assert (videos, hop, account, cost) == ("one", "1", "sandbox", "not charged")
    check_user_text(todo)
    assert ended.checks["nobody_is_needed"].severity is WARN
    assert ended.checks["accounts_run"].passed
    shown = request(own_place, "one")
    assert (shown["charge"], shown["charged"], shown["amount"]) == ("not charged", "0 kling-unit", "0 USD")
    assert shown["error"] == words
    assert "reserved" not in shown
    assert request(own_place, "fine")["charge"] == "charged"
    check_user_text(ended.last_line)


@pytest.mark.parametrize(
    ("charged", "charge", "units", "amount"),
    [
        ("yes", "charged", ("charged", "2 kling-unit"), "0.28 USD (estimated)"),
        ("no", "not charged", ("charged", "0 kling-unit"), "0 USD"),
        ("unknown", "not known yet", ("reserved", "2 kling-unit"), "0.28 USD (predicted)"),
    ],
)
def test_the_page_of_a_failed_hop_says_whether_it_was_charged(
    own_place: Place, charged: str, charge: str, units: tuple[str, str], amount: str
) -> None:
    own_place.write([video("one")], failed_tasks_charged=charged)
    own_place.sandbox.faults(
        [
            {"kind": "fail_task", "where": "submit"},
            {"kind": "no_unit_deduction", "where": "query", "times": 99},
            {"kind": "no_unit_deduction", "where": "list", "times": 99},
        ]
    )
    ended = run(own_place)
    ((videos, hop, _, _, cost, words, todo),) = needs(ended)
    assert (videos, hop) == ("one", "1")
    check_user_text(cost)
    check_user_text(todo)
    assert ended.checks["nobody_is_needed"].severity is WARN
    shown = request(own_place, "one")
    assert (shown["state"], shown["charge"], shown["amount"]) == ("failed", charge, amount)
    assert (shown[units[0]], shown["error"]) == (units[1], words)
    assert {"charged", "reserved"} & shown.keys() == {units[0]}
    check_user_text(str(shown["end"]))
    check_user_text(ended.last_line)


def test_a_page_lists_the_attempts_before_the_newest(own_place: Place) -> None:
    own_place.write([video("one", extend=ONE_HOP)], failed_tasks_charged="yes")
    own_place.sandbox.faults(
        [{"kind": "fail_task", "where": "submit"}, {"kind": "no_unit_deduction", "where": "list", "times": 99}]
    )
    needs(run(own_place))
    with own_place.resource.open() as pipeline:
        assert isinstance(resolve.resubmit(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    assert run(own_place).is_quiet
    table = request(own_place, "one")["requests"]
    ends = [(record.data["hop"], record.data["charge"], record.data["units"]) for record in table.records]
    assert ends == [(1, "charged", "2 kling-unit"), (1, "charged", "2 kling-unit")]


def test_a_doubt_is_a_warning_at_first_and_an_error_after_an_hour(own_place: Place) -> None:
    own_place.write([video("one")], submit_class="C")
    own_place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    early = run(own_place)
    ((videos, hop, _, _, cost, words, todo),) = needs(early)
    assert (videos, hop) == ("one", "1")
    assert words
    check_user_text(cost)
    check_user_text(todo)
    assert early.checks["nobody_is_needed"].severity is WARN
    shown = request(own_place, "one")
    assert (shown["state"], shown["charge"], shown["reserved"]) == ("in_doubt", "in doubt", "2 kling-unit")
    late = run(own_place, later=2 * HOUR)
    assert len(needs(late)) == 1
    assert late.checks["nobody_is_needed"].severity is ERROR
    with own_place.resource.open() as pipeline:
        assert isinstance(resolve.write_off(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    assert run(own_place).checks["nobody_is_needed"].severity is WARN
    assert request(own_place, "one")["charged"] == "2 kling-unit"


def test_a_doubt_whose_video_left_the_catalogue_is_shown(own_place: Place) -> None:
    own_place.write([video("one"), video("two", extend=ONE_HOP)], submit_class="C")
    own_place.sandbox.faults(
        [{"kind": "reset_before", "where": "submit", "match": {"video_id": own_place.source("one")}}]
    )
    run(own_place)
    own_place.write([video("two", extend=ONE_HOP)], submit_class="C")
    ended = run(own_place)
    ((videos, hop, _, _, _, _, todo),) = needs(ended)
    assert (videos, hop, ended.checks["nobody_is_needed"].severity) == ("one", "1", WARN)
    check_user_text(todo)
    assert run(own_place, later=2 * HOUR).checks["nobody_is_needed"].severity is ERROR


def test_a_paid_file_is_an_error_in_its_last_hour(own_place: Place) -> None:
    own_place.write([video("one")])
    own_place.pay_without_fetching()
    early = run(own_place, max_seconds=1.0)
    assert early.checks["nobody_is_needed"].passed
    shown = request(own_place, "one")
    assert (shown["state"], shown["charge"]) == ("succeeded", "charged")
    late = run(own_place, later=30 * 24 * HOUR - HOUR / 2, max_seconds=1.0)
    ((videos, hop, account, _, cost, _, todo),) = needs(late)
    assert (videos, hop, account) == ("one", "1", "sandbox")
    check_user_text(cost)
    check_user_text(todo)
    assert late.checks["nobody_is_needed"].severity is ERROR


def test_a_paused_account_and_a_missing_key_are_warnings(own_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    own_place.write([video("one")])
    monkeypatch.delenv(ACCESS_ENV)
    keyless = run(own_place)
    _, (account, what, _, todo) = keyless.rows("accounts_run", "accounts")
    assert account == "sandbox"
    assert ACCESS_ENV.replace("_", r"\_") in what
    assert keyless.checks["accounts_run"].severity is WARN
    ((videos, *_),) = needs(keyless)
    assert videos == "one"
    monkeypatch.undo()
    with own_place.resource.open() as pipeline, pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
        controls.pause(tx, "sandbox", why="t")
    paused = run(own_place)
    _, (account, what, _, resume) = paused.rows("accounts_run", "accounts")
    assert (account, what) == ("sandbox", "paused")
    check_user_text(resume)
    assert paused.checks["accounts_run"].severity is WARN
    check_user_text(todo)


def test_a_run_by_hand_says_what_its_videos_wait_for(own_place: Place) -> None:
    own_place.write([video("one"), video("two", extend=ONE_HOP)])
    own_place.sandbox.faults(
        [{"kind": "content_refusal", "where": "submit", "match": {"video_id": own_place.source("one")}}]
    )
    own_place.sensor("catalog_sensor")
    result = own_place.materialise("extension_requests", keys=["one", "two"])
    assert result.success
    assert end_of(own_place, result).tag == "1"
    assert request(own_place, "one")["charge"] == "not charged"
    complete = own_place.materialise("completed_extensions", keys=["two"])
    assert complete.success
    assert end_of(own_place, complete).tag is None
