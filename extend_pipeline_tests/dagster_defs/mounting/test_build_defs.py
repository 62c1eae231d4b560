"""A home that is mounted in another project collides with nothing there, and two homes leave each other alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from pydantic import ValidationError

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.definitions import build_defs
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place, open_place
from extend_pipeline_tests.support.home.homes import video

ASSETS = ("source_videos", "extension_requests", "completed_extensions")


class House(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Another project's resource with the key `home`."""

    street: str = "Long Lane"


@dg.asset
def invoices(home: House) -> str:
    """Return the street of that project's own home."""
    return home.street


def host() -> dg.Definitions:
    """Return the definitions of a project with an asset, an executor and a resource `home` of its own."""
    return dg.Definitions(assets=[invoices], resources={"home": House()}, executor=dg.multiprocess_executor)


def test_a_project_with_an_executor_and_a_resource_home_takes_a_home_without_an_argument(tmp_path: Path) -> None:
    defs = dg.Definitions.merge(host(), build_defs(home=tmp_path))
    repository = defs.get_repository_def()
    assert defs.executor is dg.multiprocess_executor
    assert repository.get_job("advance_job").executor_def is dg.in_process_executor
    assert repository.get_job("__ASSET_JOB").executor_def is dg.multiprocess_executor
    assert isinstance(repository.get_top_level_resources()["home"], dg.ResourceDefinition)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(asset_selection=[invoices.key])
    assert result.output_for_node("invoices") == "Long Lane"


def names(defs: dg.Definitions) -> dict[str, set[str]]:
    """Return by its kind every name that Dagster keeps for a code location or an instance."""
    repository = defs.get_repository_def()
    graph = defs.resolve_asset_graph()
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    jobs = [job for job in repository.get_all_jobs() if job.name != "__ASSET_JOB"]
    ops = [node.definition for job in repository.get_all_jobs() for node in job.nodes]
    return {
        "assets": {node.key.to_user_string() for node in nodes},
        "checks": {str(key) for key in graph.asset_check_keys},
        "groups": {str(node.group_name) for node in nodes},
        "partitions": {str(getattr(node.partitions_def, "name", None)) for node in nodes} - {"None"},
        "jobs": {job.name for job in jobs},
        "ops": {op.name for op in ops},
        "pools": {op.pool for op in ops if isinstance(op, dg.OpDefinition) and op.pool},
        "tags": {job.tags["extend_pipeline/advance"] for job in jobs if "extend_pipeline/advance" in job.tags},
        "sensors": {sensor.name for sensor in repository.sensor_defs},
        "schedules": {schedule.name for schedule in repository.schedule_defs},
        "resources": set(repository.get_top_level_resources()),
    }


def test_homes_under_two_prefixes_and_this_projects_own_have_no_name_in_common(tmp_path: Path) -> None:
    from extend_pipeline.definitions import defs

    films = names(build_defs(home=tmp_path, key_prefix=["studio", "films"]))
    clips = names(build_defs(home=tmp_path, key_prefix="my-clips"))
    own = names(defs)
    for kind, found in films.items():
        assert found, kind
        assert not found & clips[kind], kind
        assert not found & own[kind], kind
        assert len(found) == len(clips[kind]) == len(own[kind]), kind
    assert films["partitions"] == {"studio_films_videos"}
    assert "my_clips_advance_job" in clips["jobs"]
    assert own["partitions"] == {"videos"}
    assert own["resources"] == {"home"}
    dg.Definitions.merge(
        build_defs(home=tmp_path, key_prefix="studio/films"), build_defs(home=tmp_path, key_prefix="my-clips"), defs
    ).get_repository_def()


def test_two_homes_without_a_prefix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(dg.DagsterError):
        dg.Definitions.merge(build_defs(home=tmp_path / "a"), build_defs(home=tmp_path / "b"))


@pytest.mark.parametrize("start", ["stopped", "running", "none"])
def test_sensors_and_schedules_are_stopped_unless_they_are_set_to_run(tmp_path: Path, start: str) -> None:
    chosen = {} if start == "stopped" else {"sensors": start, "schedules": start}  # stopped is the default
    repository = build_defs(home=tmp_path, **chosen).get_repository_def()  # type: ignore[arg-type]
    sensors = {sensor.default_status.value for sensor in repository.sensor_defs if sensor.name != DAGSTERS_OWN}
    schedules = {schedule.name: schedule.default_status.value for schedule in repository.schedule_defs}
    assert sensors == ({start.upper()} if start != "none" else set())
    if start == "none":
        assert schedules == {}
    else:
        assert schedules == {
            "daily_reconciliation_schedule": start.upper(),
            "nightly_backfill_schedule": "STOPPED",
            "report_schedule": start.upper(),
        }


DAGSTERS_OWN = "default_automation_condition_sensor"  # Dagster adds it, stopped, where no sensor evaluates conditions


def test_group_tags_owners_and_the_resource_key_are_those_that_are_named(tmp_path: Path) -> None:
    defs = build_defs(
        home=tmp_path, group_name="films", tags={"tier": "1"}, owners=["team:studio"], resource_key="film_home"
    )
    graph = defs.resolve_asset_graph()
    for node in map(graph.get, graph.get_all_asset_keys()):
        assert (node.group_name, node.tags["tier"], list(node.owners)) == ("films", "1", ["team:studio"])
    assert set(defs.get_repository_def().get_top_level_resources()) == {"film_home"}


def test_the_mistakes_in_the_arguments_are_reported_all_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        build_defs(
            key_prefix="my clips",
            group_name="my group",
            sensors="on",  # type: ignore[arg-type]
            resource_key="class",
            tags={"a b": "1"},
            owners=["anna", "team:studio"],
        )
    assert {error["loc"][0] for error in caught.value.errors()} == {
        "key_prefix",
        "group_name",
        "sensors",
        "resource_key",
        "tags",
        "owners",
    }


@pytest.mark.parametrize("prefix", ["all", ["all"], "2024/films"])
def test_a_prefix_without_names_of_its_own_is_refused(prefix: str | list[str]) -> None:
    with pytest.raises(ValidationError) as caught:
        build_defs(key_prefix=prefix)
    assert [error["loc"] for error in caught.value.errors()] == [("key_prefix",)]


@pytest.fixture
def places(tmp_path: Path, sandbox: SandboxHandle) -> Iterator[tuple[Place, Place]]:
    """Yield two homes under two prefixes in one code location, beside another project's definitions."""
    mounts = {name: Mount(key_prefix=(name,)) for name in ("films", "clips")}
    resources = {name: HomeResource(home=str(tmp_path / name / "home")) for name in mounts}
    defs = dg.Definitions.merge(host(), *(build_mounted(mounts[name], resources[name]) for name in mounts))
    with open_place(tmp_path / "films" / "home", sandbox) as place:
        both = [
            replace(place, home=Path(resources[name].home), resource=resources[name], defs=defs, mount=mounts[name])
            for name in mounts
        ]
        yield both[0], both[1]


def test_a_run_and_the_ticks_of_one_home_leave_the_other_alone(places: tuple[Place, Place]) -> None:
    films, clips = places
    films.write([video("one", extend=ONE_HOP)])
    clips.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    instance = films.instance
    for place in places:
        place.sensor("catalog_sensor")
    assert instance.get_dynamic_partitions("films_videos") == ["one"]
    assert instance.get_dynamic_partitions("clips_videos") == ["one", "two"]
    assert instance.get_dynamic_partitions("videos") == []

    # a run of one home holds up no run of the other
    instance.create_run_for_job(films.defs.resolve_job_def("films_advance_job"))
    assert not films.sensor("kling_poll_sensor").run_requests
    [request] = clips.sensor("kling_poll_sensor").run_requests
    assert request.job_name in (None, "clips_advance_job")

    run = films.advance()
    assert run.success
    assert {check.asset_key.path[0] for check in run.get_asset_check_evaluations()} == {"films"}
    assert films.latest("completed_extensions", "one") is not None
    assert films.count("extension_costs") == 1
    assert [clips.count(asset) for asset in (*ASSETS, "extension_costs")] == [0, 0, 0, 0]
    assert (films.submits("one"), clips.submits("one"), clips.submits("two")) == (1, 0, 0)

    before = [films.count(asset) for asset in ASSETS]
    by_hand = clips.materialise(*ASSETS, keys=["two"], max_seconds=60)
    assert by_hand.success
    assert clips.latest("completed_extensions", "two") is not None
    assert clips.latest("completed_extensions", "one") is None
    assert (films.submits("one"), clips.submits("one"), clips.submits("two")) == (1, 0, 1)
    assert [films.count(asset) for asset in ASSETS] == before
    assert clips.advance().success
    assert clips.latest("completed_extensions", "one") is not None
    assert not [key for key in instance.all_asset_keys() if key.path[0] not in ("films", "clips")]


def test_column_lineage_names_the_assets_of_the_same_home(places: tuple[Place, Place]) -> None:
    films, _ = places
    films.write([video("one", extend=ONE_HOP)])
    assert films.advance().success
    for table in ("extension_lineage", "extension_costs", "extension_durations"):
        event = films.instance.get_latest_materialization_event(films.mount.asset(dg.AssetKey(table)))
        assert event is not None
        assert event.asset_materialization is not None
        lineage = event.asset_materialization.metadata["dagster/column_lineage"].value
        assert isinstance(lineage, dg.TableColumnLineage)
        deps = [dep for deps in lineage.deps_by_column.values() for dep in deps]
        assert {dep.asset_key.path[0] for dep in deps} == {"films"}


def test_each_home_has_the_ledger_that_its_own_variable_names(
    places: tuple[Place, Place], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    films, _ = places
    films.write([video("one", extend=ONE_HOP)])
    own = HomeResource(home=films.resource.home, ledger_url_env="FILMS_LEDGER_URL")
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", f"sqlite:///{tmp_path}/shared.sqlite")
    monkeypatch.delenv("FILMS_LEDGER_URL", raising=False)
    with pytest.raises(dg.Failure, match="FILMS_LEDGER_URL"), own.open():
        pass
    monkeypatch.setenv("FILMS_LEDGER_URL", f"sqlite:///{tmp_path}/films.sqlite")
    with own.open():
        pass
    assert (tmp_path / "films.sqlite").exists()
    assert not (tmp_path / "shared.sqlite").exists()
