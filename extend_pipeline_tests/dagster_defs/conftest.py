"""Fixtures of the Dagster tests: a shared sandbox, homes with an account of it, and instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.jobs.advance import build_advance_job
from extend_pipeline.dagster_defs.mount import OWN, Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.home.homes import credentials_env, seeds, write_home
from extend_pipeline_tests.support.media.rendered import render_once

SMALL = SandboxConfig(width=96, height=64, fps=6, run_time=(0, 0), slots=100)
ONE_HOP = {"steps": 1, "prompt": "x"}


@dataclass
class Place:
    """A home, the definitions over it, and a Dagster instance of its own."""

    home: Path
    sandbox: SandboxHandle
    resource: HomeResource
    defs: dg.Definitions
    instance: dg.DagsterInstance
    mount: Mount = OWN

    def write(self, videos: Sequence[Mapping[str, Any]], **account: Any) -> None:
        """Write the catalogue and the account, and add the sources upstream, which no other place shares."""
        self.plant(own := [self.owned(entry) for entry in videos])
        write_home(self.home, self.sandbox.base_url, own, {"poll": {"first_after": 0, "every": 0.05}, **account})

    def plant(self, videos: Sequence[Mapping[str, Any]]) -> None:
        """Add the sources of catalogue entries upstream."""
        self.sandbox.seed(seeds(videos))

    def owned(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return a catalogue entry with a source of this place."""
        return {**entry, "source": {**entry["source"], "video_id": self.source(entry["key"])}}

    def source(self, key: str) -> str:
        """Return the upstream id of an entry's source."""
        return f"{self.home.parent.name}-{key}"

    def submits(self, key: str) -> int:
        """Return how many charges there are upstream for the source of an entry."""
        return sum(charge["video_id"] == self.source(key) for charge in self.sandbox.charges()["charges"])

    def states(self) -> dict[str, str]:
        """Return the state of each video in the ledger."""
        with self.resource.open() as pipeline, pipeline.ledger.read() as connection:
            return {row.video_key: row.state.value for row in queries.videos(connection)}

    def pay_without_fetching(self, videos: int = 1) -> None:
        """Bring so many videos to paid results whose downloads fail."""
        self.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 9999}])

        def are_paid(pipeline: Pipeline) -> bool:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                return len(queries.attempts_in(connection, (AttemptState.SUCCEEDED,))) == videos

        with self.resource.open() as pipeline:
            eventually(lambda: are_paid(pipeline))

    def queue(self) -> dg.DagsterRun:
        """Create a queued run of advance_job, as the daemon does for a run request; return it."""
        job = self.defs.resolve_job_def("advance_job")
        # Dagster demands an origin of a queued run, and 1.13 has no public name for its types
        location = RegisteredCodeLocationOrigin("extend_pipeline")
        return self.instance.create_run_for_job(
            job,
            status=dg.DagsterRunStatus.QUEUED,
            tags=job.tags,
            remote_job_origin=RemoteJobOrigin(RemoteRepositoryOrigin(location, "__repository__"), job.name),
            job_code_origin=dg.reconstructable(_own_advance_job).get_python_origin(),
        )

    def sensor(self, name: str, instance: dg.DagsterInstance | None = None, *, cursor: str | None = None) -> Any:
        """Evaluate one tick of a sensor, and return its SensorExecutionData."""
        instance = instance or self.instance
        sensor = self.defs.get_repository_def().get_sensor_def(self.mount.name(name))
        with dg.build_sensor_context(
            instance=instance, resources={self.mount.home_key: self.resource}, definitions=self.defs, cursor=cursor
        ) as context:
            return sensor.evaluate_tick(context)

    def materialise(self, *assets: str, keys: Sequence[str], **config: Any) -> dg.ExecuteInProcessResult:
        """Run the assets over a range of partitions with the tags of a single-run backfill; return the result."""
        tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
        job = self.defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            asset_selection=[self.mount.asset(dg.AssetKey(asset)) for asset in assets],
            tags={"dagster/partition": keys[0]} if len(keys) == 1 else tags,
            partition_key=keys[0] if len(keys) == 1 else None,
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": {self.mount.name("extend_videos"): {"config": config}}} if config else None,
        )

    def advance(self, *, raise_on_error: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
        """Run advance_job once and return the result."""
        return self.defs.resolve_job_def(self.mount.name("advance_job")).execute_in_process(
            instance=self.instance,
            raise_on_error=raise_on_error,
            run_config={"ops": {"advance": {"config": {"linger_s": 1.0, **config}}}},
        )

    def latest(self, asset: str, key: str) -> dg.AssetMaterialization | None:
        """Return the newest materialization of one partition."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=self.mount.asset(dg.AssetKey(asset)), asset_partitions=[key]), limit=1
        ).records
        return records[0].asset_materialization if records else None

    def count(self, asset: str) -> int:
        """Return the number of an asset's materializations."""
        return len(self.instance.fetch_materializations(self.mount.asset(dg.AssetKey(asset)), limit=1000).records)


def _own_advance_job() -> dg.JobDefinition:
    """Return advance_job, because `reconstructable` takes a function."""
    return build_advance_job(OWN)


@contextmanager
def instance_at(folder: Path, storage: str = "") -> Iterator[dg.DagsterInstance]:
    """Yield an instance in a new folder, as the webserver needs one."""
    folder.mkdir()
    (folder / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{storage}")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    """Yield one sandbox for all tests of the folder; its tasks take no time."""
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), SMALL) as handle:
        yield handle


@contextmanager
def open_place(home: Path, sandbox: SandboxHandle) -> Iterator[Place]:
    """Yield an empty home with definitions over it and an ephemeral instance; the keys are in the environment
    meanwhile."""
    resource = HomeResource(home=str(home))
    defs = build_mounted(OWN, resource)
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        for name, value in credentials_env(SMALL).items():
            patch.setenv(name, value)
        render_once(patch)
        yield Place(home, sandbox, resource, defs, instance)


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """Yield a place with a sandbox of its own, so that ordered faults strike no other test."""
    with running_sandbox(tmp_path / "sandbox", SMALL) as sandbox, open_place(tmp_path / "home", sandbox) as place:
        yield place


@pytest.fixture
def place(tmp_path: Path, sandbox: SandboxHandle) -> Iterator[Place]:
    """Yield a place for one test."""
    with open_place(tmp_path / "home", sandbox) as opened:
        yield opened
