"""doubt_sensor, retention_sensor and ledger_sensor over hours and days: each change is reported once, when it comes."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg

from extend_pipeline.dagster_defs.sensors.build import NOTHING
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.dagster_defs.time_travel.conftest import Traveller, Travelling, evaluations
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.home.homes import video

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
ONE_HOP = {"steps": 1, "prompt": "x"}
NIGHT = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks change


def quiet(at: Traveller, name: str) -> str:
    """Evaluate a sensor that has nothing to say; return its reason."""
    before = at.cursors.get(name)
    tick = at.tick(name)
    assert (list(tick.run_requests), list(tick.asset_events), tick.cursor) == ([], [], before)
    return str(tick.skip_message)


def test_a_doubt_is_reported_once_when_it_is_an_hour_old_and_once_when_it_is_decided(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one")], submit_class="C")
    at.set_timezone("Europe/Berlin")
    at.place.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    with at.place.resource.open() as pipeline:
        assert advance(pipeline, publish=False).submitted.in_doubt == ["one/1"]
    assert quiet(at, "doubt_sensor") == "nothing is in doubt for long"
    at.wait(minutes=58)  # the local time is 2:28 again, as when it began
    assert quiet(at, "doubt_sensor") == "nothing is in doubt for long"

    at.wait(minutes=3)
    late = at.tick("doubt_sensor")
    assert evaluations(late) == {"nothing_in_doubt": (False, ERROR), "nobody_is_needed": (False, ERROR)}
    assert late.cursor
    for _ in range(3):
        at.wait(hours=9)
        assert quiet(at, "doubt_sensor") == "1 in doubt for long, as reported before"

    with at.place.resource.open() as pipeline:
        assert isinstance(resolve.write_off(pipeline, "one/1", who="t", why="t"), resolve.Resolved)
    decided = at.tick("doubt_sensor")
    assert evaluations(decided)["nothing_in_doubt"][0]
    assert decided.cursor == NOTHING
    assert quiet(at, "doubt_sensor") == "nothing is in doubt for long"
    latest = at.place.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("extension_costs"), "nothing_in_doubt"), limit=9
    )
    assert [record.status.value for record in latest] == ["SUCCEEDED", "FAILED"]


def pay_without_fetching(at: Traveller) -> None:
    """Bring two videos to paid results whose downloads fail."""
    at.place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    at.place.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 9999}])

    def are_paid() -> bool:
        with at.place.resource.open() as pipeline:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                return len(queries.attempts_in(connection, (AttemptState.SUCCEEDED,))) == 2

    eventually(are_paid)


def test_paid_films_are_warned_of_at_half_their_time_and_in_their_last_hour_until_they_are_fetched(
    travelling: Travelling,
) -> None:
    name = "retention_sensor"
    at = travelling(NIGHT)
    pay_without_fetching(at)
    assert quiet(at, name) == "nothing ends soon"
    at.wait(days=15, minutes=-5)
    assert quiet(at, name) == "nothing ends soon"

    at.wait(minutes=10)
    half = at.tick(name)
    assert evaluations(half) == {"nothing_ends_soon": (False, WARN), "nobody_is_needed": (False, WARN)}
    [request] = half.run_requests
    assert request.tags["extend_pipeline/asked_by"] == "retention: 2 results to fetch"
    at.start_run()
    at.wait(minutes=5)
    assert quiet(at, name) == "2 end soon, as reported before"
    at.wait(days=15, minutes=-75)
    assert quiet(at, name) == "2 end soon, as reported before"

    at.wait(minutes=15)
    last = at.tick(name)
    assert evaluations(last) == {"nothing_ends_soon": (False, ERROR), "nobody_is_needed": (False, ERROR)}
    assert len(last.run_requests) == 1, "the run of half a month ago has given no sign of life"
    at.start_run()
    assert quiet(at, name) == "2 end soon, as reported before"

    at.place.sandbox.clear_faults()
    at.wait(minutes=10)  # the longest wait between two tries to fetch a result
    at.work()
    fetched = at.tick(name)
    assert [passed for passed, _ in evaluations(fetched).values()] == [True, True]
    assert fetched.cursor == NOTHING
    for _ in range(2):
        at.wait(minutes=1)
        assert quiet(at, name) == "nothing ends soon"


def test_a_film_whose_time_is_over_is_an_error_and_requests_no_run(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    pay_without_fetching(at)
    at.wait(days=30, minutes=1)
    over = at.tick("retention_sensor")
    assert evaluations(over) == {"nothing_ends_soon": (False, ERROR), "nobody_is_needed": (False, ERROR)}
    assert not over.run_requests
    at.wait(days=1)
    assert quiet(at, "retention_sensor") == "2 end soon, as reported before"


def test_another_ledger_is_reported_once_and_its_return_too(travelling: Travelling) -> None:
    name = "ledger_sensor"
    at = travelling(NIGHT)
    at.place.write([video("one", extend=ONE_HOP)])
    at.work()
    assert quiet(at, name) == "the ledger is known"
    ledger = at.place.home / "state" / "ledger.sqlite"
    ledger.rename(ledger.with_suffix(".away"))
    at.wait(minutes=1)
    other = at.tick(name)
    assert evaluations(other) == {"ledger_is_known": (False, ERROR)}
    for _ in range(3):
        at.wait(hours=1)
        assert quiet(at, name).startswith("as reported before: ")
    assert not at.tick("kling_poll_sensor").run_requests
    ledger.with_suffix(".away").replace(ledger)
    at.wait(minutes=1)
    back = at.tick(name)
    assert evaluations(back) == {"ledger_is_known": (True, ERROR)}
    assert back.cursor == NOTHING
    assert quiet(at, name) == "the ledger is known"
    assert at.charges() == 1
