"""The component `ExtendPipeline`, loaded from the YAML of a project's folder as `dg` loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from dagster.components.testing import create_defs_folder_sandbox
from pydantic import ValidationError

from extend_pipeline.components import ExtendPipeline
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline_tests.support.user_texts import check_user_text

ROOT = Path(__file__).parents[3]

OWN = """
import dagster as dg

class House(dg.ConfigurableResource):
    street: str = "Long Lane"

@dg.asset
def invoices(home: House) -> str:
    return home.street

@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions(assets=[invoices], resources={"home": House()}, executor=dg.multiprocess_executor)
"""

FILMS = """type: extend_pipeline.components.ExtendPipeline

attributes:
  home: "{{ context.project_root }}/data/films"
  key_prefix: [studio, films]
  sensors: running
  owners: ["team:studio"]
  freshness_hours: 36
"""

CLIPS = """type: extend_pipeline.components.ExtendPipeline

attributes:
  home: ../../../../data/clips
  key_prefix: "{{ env.CLIPS_PREFIX }}"
  tags: {tier: 1}
"""

BROKEN = """type: extend_pipeline.components.ExtendPipeline

attributes:
  key_prefix: my clips
  sensors: off
  schedule: running
  resource_key: class
  group_name: "my group"
  owners: [anna, "team:studio"]
  tags: {"a b": 1}
  freshness_hours: soon
"""

Project = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a function that writes a project as `create-dagster` does, with these defs; it returns its package."""
    name = f"studio_{uuid4().hex}"  # a package that no other test has imported

    def write(files: Mapping[str, str]) -> Path:
        package = tmp_path / "src" / name
        for path, text in {"__init__.py": "", **files}.items():
            file = package / "defs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (package / "__init__.py").touch()
        (tmp_path / "pyproject.toml").write_text(
            f'[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "{name}"\n'
        )
        monkeypatch.syspath_prepend(tmp_path / "src")
        return package

    return write


def failure(package: Path) -> tuple[ComponentTreeException, ValidationError]:
    """Return why a project can't be loaded, as Dagster shows it and as pydantic raised it."""
    with pytest.raises(ComponentTreeException) as caught:
        dg.load_from_defs_folder(path_within_project=package)
    assert isinstance(caught.value.__cause__, ValidationError)
    return caught.value, caught.value.__cause__


def places(error: ValidationError) -> dict[str, str]:
    """Return the place of each mistake by its field: the file and the line."""
    return dict(str(detail["loc"][0]).removeprefix("attributes.").split(" at ") for detail in error.errors())


def test_two_homes_are_mounted_by_yaml_beside_an_executor_and_a_resource_home(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLIPS_PREFIX", "clips")
    package = project({"own.py": OWN, "films/defs.yaml": FILMS, "clips/defs.yaml": CLIPS})
    defs = dg.load_from_defs_folder(path_within_project=package)
    repository = defs.get_repository_def()
    assert defs.executor is dg.multiprocess_executor
    resources = dict(defs.resources or {})
    assert resources.keys() == {"home", "studio_films_extend_pipeline_home", "clips_extend_pipeline_home"}
    films, clips = resources["studio_films_extend_pipeline_home"], resources["clips_extend_pipeline_home"]
    assert isinstance(films, HomeResource)
    assert isinstance(clips, HomeResource)
    assert Path(films.home) == tmp_path / "data" / "films"
    assert Path(clips.home) == tmp_path / "data" / "clips", "relative to the file"
    status = {sensor.name: sensor.default_status.value for sensor in repository.sensor_defs}
    assert status["studio_films_catalog_sensor"] == "RUNNING"
    assert status["clips_catalog_sensor"] == status["clips_kling_poll_sensor"] == "STOPPED"
    assert {schedule.default_status.value for schedule in repository.schedule_defs} == {"STOPPED"}
    graph = defs.resolve_asset_graph()
    assert list(graph.get(dg.AssetKey(["studio", "films", "source_videos"])).owners) == ["team:studio"]
    node = graph.get(dg.AssetKey(["clips", "source_videos"]))
    assert node.tags["tier"] == "1"
    code, written = node.metadata["dagster/code_references"].code_references
    assert Path(code.file_path).name == "partitioned.py"
    assert Path(written.file_path) == package / "defs" / "clips" / "defs.yaml"
    policy = graph.get(dg.AssetKey(["studio", "films", "extension_costs"])).freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(asset_selection=[dg.AssetKey("invoices")])
    assert result.output_for_node("invoices") == "Long Lane"


def test_every_mistake_of_a_file_is_reported_at_once_with_file_line_and_field(project: Project) -> None:
    package = project({"clips/defs.yaml": BROKEN})
    shown, error = failure(package)
    assert "clips" in str(shown)
    file = package / "defs" / "clips" / "defs.yaml"
    assert places(error) == {
        "key_prefix.0": f"{file}:4",
        "sensors": f"{file}:5",
        "schedule": f"{file}:6",
        "resource_key": f"{file}:7",
        "group_name": f"{file}:8",
        "owners.0": f"{file}:9",
        "tags.a b.[key]": f"{file}:10",
        "freshness_hours": f"{file}:11",
        "home": f"{file}:3",
    }
    types = {str(detail["loc"][0]).split(" at ")[0]: detail["type"] for detail in error.errors()}
    assert types["attributes.sensors"] == "literal_error"
    assert types["attributes.schedule"] == "extra_forbidden"
    assert types["attributes.home"] == "missing"


def test_a_file_without_attributes_lacks_a_home(project: Project) -> None:
    package = project({"clips/defs.yaml": "type: extend_pipeline.components.ExtendPipeline\n"})
    _, error = failure(package)
    assert places(error) == {"home": f"{package / 'defs' / 'clips' / 'defs.yaml'}:1"}


def test_a_mistake_that_a_template_brings_is_reported_at_the_template(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLIPS_PREFIX", "my clips")
    package = project({"clips/defs.yaml": CLIPS})
    _, error = failure(package)
    assert places(error) == {"key_prefix.0": f"{package / 'defs' / 'clips' / 'defs.yaml'}:5"}


@pytest.mark.parametrize("prefix", ["all", "[all]", "2024/films"])
def test_a_prefix_without_names_of_its_own_is_reported_at_its_line(project: Project, prefix: str) -> None:
    package = project({"clips/defs.yaml": CLIPS.replace('"{{ env.CLIPS_PREFIX }}"', prefix)})
    _, error = failure(package)
    assert places(error) == {"key_prefix": f"{package / 'defs' / 'clips' / 'defs.yaml'}:5"}
    check_user_text(error.errors()[0]["msg"])


@pytest.mark.parametrize("prefix", ["all/films", "films/2024", "_films", "-films"])
def test_prefixes_that_are_like_it_are_loaded(project: Project, prefix: str) -> None:
    text = CLIPS.replace('"{{ env.CLIPS_PREFIX }}"', prefix)
    defs = dg.load_from_defs_folder(path_within_project=project({"clips/defs.yaml": text}))
    assert defs.get_repository_def().get_all_jobs()


def test_a_prefix_may_begin_with_a_digit_beside_a_resource_key(project: Project) -> None:
    text = CLIPS.replace('"{{ env.CLIPS_PREFIX }}"', "2024/films\n  resource_key: films_home")
    defs = dg.load_from_defs_folder(path_within_project=project({"clips/defs.yaml": text}))
    assert defs.get_repository_def().has_job("2024_films_advance_job")


def test_the_schema_describes_every_field_with_an_example() -> None:
    schema = ExtendPipeline.model_json_schema()
    assert schema["properties"]["key_prefix"]["else"]["not"] == {"enum": ["all", ["all"]]}
    assert schema["required"] == ["home"]
    for name, field in schema["properties"].items():
        assert field["description"], name
        assert field["examples"], name
    assert ExtendPipeline.get_spec().description


def test_what_is_scaffolded_loads_and_two_folders_share_no_name() -> None:
    with create_defs_folder_sandbox() as sandbox:
        for folder in ("films", "clips"):
            sandbox.scaffold_component(component_cls=ExtendPipeline, defs_path=folder)
        sandbox.scaffold_component(
            component_cls=ExtendPipeline, defs_path="far", scaffold_params={"home": "/srv/far", "key_prefix": "a/b"}
        )
        with sandbox.build_all_defs() as defs:
            assert {job.name for job in defs.get_repository_def().get_all_jobs()} >= {
                "films_advance_job",
                "clips_advance_job",
            }
            home = (defs.resources or {})["films_extend_pipeline_home"]
            assert isinstance(home, HomeResource)
            assert Path(home.home) == sandbox.project_root / "data" / "films"
            far = (defs.resources or {})["a_b_extend_pipeline_home"]
            assert isinstance(far, HomeResource)
            assert far.home == "/srv/far"


def dg_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dg` in this project and return the ended process."""
    command = [sys.executable, "-m", "dagster_dg_cli.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.skipif(find_spec("dagster_dg_cli") is None, reason="dagster-dg-cli is a package for developers")
def test_dg_works_in_this_project() -> None:
    checked = dg_command("check", "defs")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    listed = dg_command("list", "defs", "--json")
    assert listed.returncode == 0, listed.stderr
    found: dict[str, Any] = json.loads(listed.stdout)
    jobs = {"advance_job", "approve_job", "extend_job", "partitions_job", "reconcile_job", "report_job"}
    assert {job["name"] for job in found["jobs"]} == jobs
    components = dg_command("list", "components", "--json")
    assert "extend_pipeline.components.ExtendPipeline" in components.stdout
