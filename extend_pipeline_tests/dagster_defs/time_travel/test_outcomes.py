"""doubt_sensor, retention_sensor and ledger_sensor over hours and days: each change is reported once, when it comes."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from extend_pipeline.dagster_defs.sensors.build import NOTHING
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP
from extend_pipeline_tests.dagster_defs.time_travel.conftest import Traveller, Travelling, evaluations
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
NIGHT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks change


def skips(at: Traveller, name: str) -> None:
    """Evaluate a sensor that has nothing to report: no run, no evaluation, the same cursor, and a reason."""
    before = at.cursors.get(name)
    tick = at.tick(name)
    assert (list(tick.run_requests), list(tick.asset_events), tick.cursor) == ([], [], before)
    check_user_text(str(tick.skip_message))


def test_a_doubt_is_reported_once_when_it_is_an_hour_old_and_once_when_it_is_decided(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one")], submit_class="C")
    at.set_timezone("Europe/Berlin")
    at.place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    with at.place.resource.open() as pipeline:
        assert advance(pipeline, publish=False).submitted.in_doubt == ["one/1"]
    skips(at, "doubt_sensor")
    at.wait(minutes=58)  # the local time is 2:28 again, as when it began
    skips(at, "doubt_sensor")

    at.wait(minutes=3)
    late = at.tick("doubt_sensor")
    assert evaluations(late) == {"nothing_in_doubt": (False, ERROR)}
    assert late.cursor
    for _ in range(3):
        at.wait(hours=9)
        skips(at, "doubt_sensor")

    with at.place.resource.open() as pipeline:
        assert isinstance(resolve.write_off(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    decided = at.tick("doubt_sensor")
    assert evaluations(decided)["nothing_in_doubt"][0]
    assert decided.cursor == NOTHING
    skips(at, "doubt_sensor")
    latest = at.place.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("extension_costs"), "nothing_in_doubt"), limit=9
    )
    assert [record.status.value for record in latest] == ["SUCCEEDED", "FAILED"]


def pay_without_fetching(at: Traveller) -> None:
    """Bring two videos to paid results whose downloads fail."""
    at.place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    at.place.pay_without_fetching(2)


def test_paid_films_are_warned_of_at_half_their_time_and_in_their_last_hour_until_they_are_fetched(
    travelling: Travelling,
) -> None:
    name = "retention_sensor"
    at = travelling(NIGHT)
    pay_without_fetching(at)
    skips(at, name)
    at.wait(days=15, minutes=-5)
    skips(at, name)

    at.wait(minutes=10)
    half = at.tick(name)
    assert evaluations(half) == {"nothing_ends_soon": (False, WARN)}
    [request] = half.run_requests
    check_user_text(request.tags["extend_pipeline/asked_by"])
    at.start_run()
    at.wait(minutes=5)
    skips(at, name)
    at.wait(days=15, minutes=-75)
    skips(at, name)

    at.wait(minutes=15)
    at.look_at_runs()
    last = at.tick(name)
    assert evaluations(last) == {"nothing_ends_soon": (False, ERROR)}
    assert len(last.run_requests) == 1, "the run of half a month ago has given no sign of life"
    at.start_run()
    skips(at, name)

    at.place.sandbox.clear_faults()
    at.wait(minutes=10)  # the longest wait between two tries to fetch a result
    at.work()
    fetched = at.tick(name)
    assert [passed for passed, _ in evaluations(fetched).values()] == [True]
    assert fetched.cursor == NOTHING
    for _ in range(2):
        at.wait(minutes=1)
        skips(at, name)


def test_a_film_whose_time_is_over_is_an_error_and_requests_no_run(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    pay_without_fetching(at)
    at.wait(days=30, minutes=1)
    over = at.tick("retention_sensor")
    assert evaluations(over) == {"nothing_ends_soon": (False, ERROR)}
    assert not over.run_requests
    at.wait(days=1)
    skips(at, "retention_sensor")


def test_another_ledger_is_reported_once_and_its_return_too(travelling: Travelling) -> None:
    name = "ledger_sensor"
    at = travelling(NIGHT)
    at.place.write([video("one", extend=ONE_HOP)])
    at.work()
    skips(at, name)
    ledger = at.place.home / "state" / "ledger.sqlite"
    ledger.rename(ledger.with_suffix(".away"))
    at.wait(minutes=1)
    other = at.tick(name)
    assert evaluations(other) == {"ledger_is_known": (False, ERROR)}
    for _ in range(3):
        at.wait(hours=1)
        skips(at, name)
    assert not at.tick("kling_poll_sensor").run_requests
    ledger.with_suffix(".away").replace(ledger)
    at.wait(minutes=1)
    back = at.tick(name)
    assert evaluations(back) == {"ledger_is_known": (True, ERROR)}
    assert back.cursor == NOTHING
    skips(at, name)
    assert at.charges() == 1
