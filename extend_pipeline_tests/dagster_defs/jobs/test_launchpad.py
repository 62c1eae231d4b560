"""What Dagster's launchpad accepts: through the GraphQL of a webserver, with the definitions in a code server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
import yaml
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from extend_pipeline_tests.support.user_texts import check_user_text

ROOT = Path(__file__).parents[3]

VALID = """query ($pipeline: PipelineSelector!, $config: RunConfigData!) {
  isPipelineConfigValid(pipeline: $pipeline, runConfigData: $config, mode: "default") {
    __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
LAUNCH = """mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) { __typename ... on PythonError { message } ... on RunConfigValidationInvalid {
    errors { message } } } }"""
FIELDS = """query ($pipeline: PipelineSelector!) { runConfigSchemaOrError(selector: $pipeline) {
  ... on RunConfigSchema { allConfigTypes {
    ... on CompositeConfigType { fields { name isRequired description } } } } } }"""


class Webserver:
    """A webserver without a port, and what its instance holds."""

    def __init__(self, app: Any, instance: dg.DagsterInstance) -> None:
        self.app = app
        self.instance = instance

    def ask(self, query: str, **variables: Any) -> Any:
        """Return the only value of a query's result."""
        reply = asyncio.run(self._post({"query": query, "variables": variables}))
        assert "errors" not in reply, reply
        (value,) = reply["data"].values()
        return value

    async def _post(self, body: dict[str, Any]) -> Any:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://webserver", timeout=60) as client:
            return (await client.post("/graphql", json=body)).json()


@pytest.fixture(scope="module")
def webserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webserver]:
    """Yield a webserver of this project's definitions, over an empty home."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXTEND_PIPELINE_HOME", str(home))
        target = ModuleTarget(
            module_name="extend_pipeline.definitions",
            attribute="defs",
            working_directory=str(ROOT),
            location_name="own",
        )
        with (
            dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance,
            WorkspaceProcessContext(instance, target) as context,
        ):
            yield Webserver(create_app_from_workspace_process_context(context), instance)


def selector(job: str) -> dict[str, str]:
    """Return how GraphQL names a job."""
    return {"pipelineName": job, "repositoryName": "__repository__", "repositoryLocationName": "own"}


def launch(webserver: Webserver, job: str, config: dict[str, Any]) -> Any:
    """Launch a run of a job's only op with a configuration, and return the reply."""
    (op,) = config
    params = {
        "selector": selector(job),
        "runConfigData": yaml.safe_dump({"ops": {op: {"config": config[op]}}}),
        "mode": "default",
    }
    return webserver.ask(LAUNCH, params=params)


@pytest.mark.parametrize(
    ("job", "op", "needed"),
    [("advance_job", "advance", {}), ("extend_job", "extend", {"videos": ["a"]}), ("__ASSET_JOB", "extend_videos", {})],
)
@pytest.mark.parametrize("seconds", [-1, 0, 1e300, float("nan")])
def test_seconds_that_cannot_be_used_make_no_run(
    webserver: Webserver, job: str, op: str, needed: dict[str, Any], seconds: float
) -> None:
    reply = launch(webserver, job, {op: {**needed, "max_seconds": seconds}})
    assert reply["__typename"] == "PythonError"
    assert "max_seconds: " in reply["message"]
    assert webserver.instance.get_runs_count() == 0


def test_the_sentence_comes_first_in_what_the_launchpad_shows(webserver: Webserver) -> None:
    message = launch(webserver, "advance_job", {"advance": {"max_seconds": -1}})["message"]
    kind, _, sentence = message.strip().partition(": ")
    assert kind.endswith("Failure")
    check_user_text(sentence)


def test_an_empty_list_of_videos_makes_no_run(webserver: Webserver) -> None:
    reply = launch(webserver, "extend_job", {"extend": {"videos": []}})
    assert reply["__typename"] == "PythonError"
    assert "Failure: videos: " in reply["message"]
    assert webserver.instance.get_runs_count() == 0


@pytest.mark.parametrize(
    "config", [{"videos": ["a"], "max_seconds": "ten"}, {"videos": "a"}, {"videos": [7]}, {}, {"video": ["a"]}]
)
def test_a_wrong_kind_of_value_is_marked_while_it_is_typed(webserver: Webserver, config: dict[str, Any]) -> None:
    run_config = yaml.safe_dump({"ops": {"extend": {"config": config}}})
    reply = webserver.ask(VALID, pipeline=selector("extend_job"), config=run_config)
    assert reply["__typename"] == "RunConfigValidationInvalid"
    assert launch(webserver, "extend_job", {"extend": config})["__typename"] == "RunConfigValidationInvalid"


def test_the_launchpad_shows_the_fields_with_what_they_mean(webserver: Webserver) -> None:
    schema = webserver.ask(FIELDS, pipeline=selector("extend_job"))
    fields = {field["name"]: field for kind in schema["allConfigTypes"] for field in kind.get("fields", [])}
    assert fields["videos"]["isRequired"]
    assert not fields["max_seconds"]["isRequired"]
    assert "completed_extensions" in fields["videos"]["description"]
    assert "partition_timeout_s" in fields["max_seconds"]["description"]
