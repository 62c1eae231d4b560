"""partitions_job, where no sensor ticks: the same set as the sensor's, mistakes, mounted names, nothing spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def run(place: Place) -> dg.ExecuteInProcessResult:
    """Run the job once."""
    job = place.defs.resolve_job_def(place.mount.name("partitions_job"))
    return job.execute_in_process(instance=place.instance, raise_on_error=False)


def counts(place: Place, result: dg.ExecuteInProcessResult) -> dict[str, object]:
    """Return the figures on the run's page."""
    assert result.success
    [output] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in output.step_output_data.metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return why a run has failed."""
    assert not result.success
    error = result.failure_data_for_node("partitions")
    assert error is not None
    assert error.user_failure_data is not None
    return str(error.user_failure_data.description)


def test_it_adds_and_removes_counts_both_and_spends_nothing(place: Place) -> None:
    place.write([video("one"), video("two")])
    assert counts(place, run(place)) == {"videos": 2, "added": 2, "removed": 0, "kept_in_flight": 0, "kept_of_many": 0}
    place.write([video("two"), video("three")])
    assert counts(place, run(place)) == {"videos": 2, "added": 1, "removed": 1, "kept_in_flight": 0, "kept_of_many": 0}
    assert place.instance.get_dynamic_partitions("videos") == ["two", "three"]
    place.instance.delete_dynamic_partition("videos", "two")  # by hand; the job looks at all of them each time
    assert counts(place, run(place))["added"] == 1
    assert [place.submits(key) for key in ("one", "two", "three")] == [0, 0, 0]
    assert place.instance.all_asset_keys() == []
    check_user_text(place.sensor("catalog_sensor").skip_message)


def test_mistakes_fail_it_after_the_last_good_catalogue_is_in_line(place: Place) -> None:
    check_user_text(failure_of(run(place)))  # a home that is not set up
    place.write([video("one"), video("two")])
    assert run(place).success
    place.write([video("one", colour="red"), video("three")])
    with dg.DagsterInstance.ephemeral() as place.instance:
        check_user_text(failure_of(run(place)))
        assert place.instance.get_dynamic_partitions("videos") == ["one", "two"]


def test_a_mounted_home_has_its_own(place: Place, tmp_path: Path) -> None:
    resource, mount = HomeResource(home=str(tmp_path / "films" / "home")), Mount(key_prefix=("my-films",))
    films = replace(
        place, home=Path(resource.home), resource=resource, defs=build_mounted(mount, resource), mount=mount
    )
    films.write([video("one")])
    assert counts(films, run(films))["added"] == 1
    assert place.instance.get_dynamic_partitions("my_films_videos") == ["one"]
    assert place.instance.get_dynamic_partitions("videos") == []
