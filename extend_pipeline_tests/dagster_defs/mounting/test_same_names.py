"""Files that mount homes under the same names are refused when they are loaded, with both homes and what to change."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg
import pytest
from dagster.components.core.component_tree import ComponentTreeException
from pydantic import ValidationError

from extend_pipeline.components import ExtendPipeline
from extend_pipeline_tests.dagster_defs.mounting.test_component import Project, project
from extend_pipeline_tests.support.user_texts import check_user_text

__all__ = ["project"]


def loaded(project: Project, **attributes: Mapping[str, str]) -> dg.Definitions:
    """Load a project with a file for each home."""
    files = {}
    for folder, fields in attributes.items():
        lines = "".join(f"  {name}: {value}\n" for name, value in fields.items())
        files[f"{folder}/defs.yaml"] = (
            f"type: {ExtendPipeline.__module__}.ExtendPipeline\n\nattributes:\n  home: /srv/{folder}\n{lines}"
        )
    return dg.load_from_defs_folder(path_within_project=project(files))


@pytest.mark.parametrize("prefixes", [("my-clips", "my_clips"), ("my/clips", "my_clips"), ("clips", "clips")])
def test_prefixes_that_give_the_same_names_are_named_with_their_homes(
    project: Project, prefixes: tuple[str, str]
) -> None:
    with pytest.raises(ComponentTreeException) as refused:
        loaded(project, clips={"key_prefix": prefixes[0]}, films={"key_prefix": prefixes[1]})
    reason = refused.value.__cause__
    assert isinstance(reason, dg.DagsterInvalidDefinitionError)
    check_user_text(str(reason))


def test_the_same_resource_key_is_named_with_both_homes(project: Project) -> None:
    with pytest.raises(ComponentTreeException) as refused:
        loaded(
            project,
            clips={"key_prefix": "clips", "resource_key": "studio"},
            films={"key_prefix": "films", "resource_key": "studio"},
        )
    check_user_text(str(refused.value.__cause__))


def test_prefixes_that_differ_in_more_are_loaded(project: Project) -> None:
    defs = loaded(project, clips={"key_prefix": "my-clips"}, films={"key_prefix": "my_clip"})
    names = {job.name for job in defs.get_repository_def().get_all_jobs()}
    assert {"my_clips_advance_job", "my_clip_advance_job"} <= names


def test_a_file_with_a_mistake_is_reported_also_when_another_one_is_built(project: Project) -> None:
    head = f"type: {ExtendPipeline.__module__}.ExtendPipeline\n\nattributes:\n  key_prefix: clips\n"
    files = {"clips/defs.yaml": f"{head}  home: /srv/clips\n", "films/defs.yaml": f"{head}  home:\n"}
    tree = dg.ComponentTree.for_project(project(files).parents[1])
    with pytest.raises(ComponentTreeException, match="films") as refused:
        tree.build_defs_at_path("clips")
    assert isinstance(refused.value.__cause__, ValidationError)
