"""extend_job: one run for any set of videos, unknown ones refused before anything is sent, partial ends named."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.jobs.extend import SET_TAG, VIDEOS_TAG, video_tags
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

EIGHT = ["a-dawn", "b-cat", "c-robot", "d-fog", "e-boat", "f-gull", "g-pier", "h-lamp"]
ASSETS = ("source_videos", "extension_requests", "completed_extensions")


def extend(place: Place, videos: list[str], **config: Any) -> dg.ExecuteInProcessResult:
    """Run extend_job for videos and return the result."""
    return place.defs.resolve_job_def("extend_job").execute_in_process(
        instance=place.instance,
        raise_on_error=False,
        run_config={"ops": {"extend": {"config": {"videos": videos, **config}}}},
    )


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return the description of the Failure that ended a run."""
    error = result.failure_data_for_node("extend")
    assert error is not None
    assert error.user_failure_data is not None
    return str(error.user_failure_data.description)


def test_three_of_eight_videos_that_are_not_adjacent_are_one_run(place: Place) -> None:
    place.write([video(key, extend=ONE_HOP) for key in EIGHT])
    place.sensor("catalog_sensor")
    chosen = ["h-lamp", "b-cat", "e-boat", "b-cat"]
    result = extend(place, chosen)
    assert result.success
    (run,) = place.instance.get_runs()
    assert run.job_name == "extend_job"
    check_user_text(run.tags["extend_pipeline/videos"])
    assert run.tags["extend_pipeline/extend"] == "all"
    recorded = [(event.asset_key.path[0], event.partition) for event in result.get_asset_materialization_events()]
    assert sorted(recorded) == sorted((asset, key) for asset in ASSETS for key in set(chosen))
    for asset in ASSETS:
        assert place.instance.get_materialized_partitions(dg.AssetKey(asset)) == set(chosen)
    assert {key for key in EIGHT if place.submits(key)} == set(chosen)
    done = place.latest("completed_extensions", "e-boat")
    request = place.latest("extension_requests", "e-boat")
    assert done is not None
    assert request is not None
    assert (done.metadata["state"].value, request.metadata["charge"].value) == ("complete", "charged")


def test_the_same_videos_have_the_same_tag_in_any_order_and_many_are_few_words() -> None:
    assert video_tags(["a", "b"])[SET_TAG] == video_tags(["b", "a"])[SET_TAG] != video_tags(["a"])[SET_TAG]
    many = video_tags([f"{number:05}" for number in range(20_000)])
    check_user_text(many[VIDEOS_TAG])
    assert len(many[SET_TAG]) == 16


def test_unknown_videos_are_refused_all_at_once_before_anything_is_sent(place: Place) -> None:
    place.write([video(key, extend=ONE_HOP) for key in EIGHT[:3]])
    result = extend(place, ["a-dawn", "b-kat", "zzz"])
    assert not result.success
    check_user_text(failure(result))
    assert place.submits("a-dawn") == 0
    assert place.count("completed_extensions") == 0


def test_a_partial_end_keeps_what_was_done_and_names_the_rest(place: Place) -> None:
    expired = video("old", extend=ONE_HOP)
    expired["source"] = {**expired["source"], "created_at": "2020-01-01T00:00:00Z"}
    place.write([video("fine", extend=ONE_HOP), expired])
    result = extend(place, ["fine", "old"], max_seconds=20)
    assert not result.success
    check_user_text(failure(result))
    assert place.instance.get_materialized_partitions(dg.AssetKey("completed_extensions")) == {"fine"}
    again = extend(place, ["fine"])
    assert again.success
    assert place.submits("fine") == 1


def test_a_mounted_home_has_a_job_of_its_own(place: Place) -> None:
    from extend_pipeline.definitions import build_defs

    job = build_defs(home=place.home, key_prefix="films").resolve_job_def("films_extend_job")
    assert job.tags["extend_pipeline/extend"] == "films"
    assert list(dg.validate_run_config(job, {"ops": {"extend": {"config": {"videos": ["a"]}}}})["ops"]) == ["extend"]


@pytest.mark.parametrize("chosen", ["completed_extensions", "extension_requests"])
def test_what_a_run_has_used_is_recorded_so_that_the_next_dialog_warns_of_nothing(place: Place, chosen: str) -> None:
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    assert place.materialise(chosen, keys=["one", "two"]).success
    upstream = ASSETS[: ASSETS.index(chosen)]
    for asset in upstream:
        assert place.instance.get_materialized_partitions(dg.AssetKey(asset)) == {"one", "two"}
    before = {asset: place.count(asset) for asset in upstream}
    assert place.materialise(chosen, keys=["one", "two"]).success
    assert {asset: place.count(asset) for asset in upstream} == before, "the same version is recorded once"
