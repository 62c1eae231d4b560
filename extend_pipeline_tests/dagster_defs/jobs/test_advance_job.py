"""One run for everything due: what it does, what it reports, and that it reports nothing twice."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def _materializations(result: dg.ExecuteInProcessResult) -> list[tuple[str, str | None]]:
    """Return the asset and the partition of each materialization of a run."""
    return [(event.asset_key.to_user_string(), event.partition) for event in result.get_asset_materialization_events()]


def test_one_run_advances_every_video_and_a_second_reports_nothing(place: Place) -> None:
    place.write([video("one"), video("two", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    first = place.advance()
    assert first.success
    reported = _materializations(first)
    assert reported.count(("completed_extensions", "one")) == 2, "one for each newly stored hop"
    assert reported.count(("completed_extensions", "two")) == 1
    tables = {"extension_lineage", "extension_costs", "extension_durations"}
    assert {asset for asset, partition in reported if partition is None} == tables
    assert reported.count(("extension_costs", None)) == 1
    completed = place.latest("completed_extensions", "one")
    assert completed is not None
    assert completed.metadata["state"].value == "complete"
    checks = {event.check_name: event for event in first.get_asset_check_evaluations()}
    assert {name for name, event in checks.items() if event.passed} == {
        "charges_reconcile",
        "budgets_hold",
        "nothing_in_doubt",
        "nothing_ends_soon",
        "configuration_is_sound",
        "accounts_run",
        "nobody_is_needed",
        "books_agree",
        "invariants_hold",
        "durations_grew",
        "films_are_there",
        "ledger_is_known",
        "seams_hold",
    }
    second = place.advance()
    assert second.success
    assert _materializations(second) == []
    after = {event.check_name: event for event in second.get_asset_check_evaluations()}
    assert _compared(checks) == {"charges_reconcile": "everything", "invariants_hold": "everything"}
    assert _compared(after) == {"charges_reconcile": "what changed", "invariants_hold": "what changed"}
    attempts = [run["invariants_hold"].metadata["attempts"].value for run in (checks, after)]
    assert attempts == [3, 0]
    last = [run["invariants_hold"].metadata["everything_compared_at"].value for run in (checks, after)]
    assert last[0] == last[1]


def _compared(checks: Mapping[str, dg.AssetCheckEvaluation]) -> dict[str, object]:
    """Return what the checks of the whole ledger have compared."""
    names = ("charges_reconcile", "invariants_hold")
    return {name: checks[name].metadata["compared"].value for name in names}


def test_work_of_the_command_line_is_reported_and_a_lost_instance_fills_up_again(place: Place) -> None:
    from extend_pipeline.engine.drive import advance_until_idle

    place.write([video("cli", extend=ONE_HOP)])
    with place.resource.open() as pipeline:
        advance_until_idle(pipeline, max_seconds=20)
    reported = _materializations(place.advance())
    assert ("completed_extensions", "cli") in reported
    assert place.instance.get_dynamic_partitions("videos") == ["cli"]
    with dg.DagsterInstance.ephemeral() as empty_instance:
        lost_instance, place.instance = place.instance, empty_instance
        try:
            assert sorted(_materializations(place.advance())) == sorted(reported)
            assert empty_instance.get_dynamic_partitions("videos") == ["cli"]
        finally:
            place.instance = lost_instance


def test_a_run_that_cannot_publish_records_and_checks_all_else_and_fails(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    (place.home / "state" / "warehouse.duckdb").mkdir(parents=True)  # nothing can take its place
    result = place.advance(raise_on_error=False)
    assert not result.success
    assert place.states() == {"one": "complete"}
    assert ("completed_extensions", "one") in _materializations(result)
    evaluated = {event.check_name: event.passed for event in result.get_asset_check_evaluations()}
    assert evaluated["invariants_hold"]
    assert not evaluated["charges_reconcile"]
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    data = failed.step_failure_data.user_failure_data
    assert data is not None
    check_user_text(str(data.description))


def test_a_blocked_video_does_not_keep_the_run_going(place: Place) -> None:
    expired = video("old")
    expired["source"] = {**expired["source"], "created_at": "2020-01-01T00:00:00Z"}
    place.write([expired, video("fine", extend=ONE_HOP)])
    result = place.advance(linger_s=600.0)
    assert result.success
    source = place.latest("source_videos", "old")
    assert source is not None
    assert source.metadata["state"].value == "blocked"
    check_user_text(str(source.metadata["reason"].value))
    assert place.latest("completed_extensions", "old") is None


def test_a_run_ends_while_tasks_run_when_nothing_is_due_within_linger(place: Place) -> None:
    place.write([video("far", extend=ONE_HOP)], poll={"first_after": 900, "every": 900})
    result = place.advance(linger_s=5.0)
    assert result.success
    assert place.latest("extension_requests", "far") is not None
    assert place.latest("completed_extensions", "far") is None
