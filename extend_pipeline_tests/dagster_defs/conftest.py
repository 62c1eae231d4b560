"""Fixtures of the Dagster tests: a shared sandbox, homes with an account of it, and instances."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import OWN, Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline_tests.support.home.homes import credentials_env, seeds, write_home

SMALL = SandboxConfig(width=96, height=64, fps=6, run_time=(0, 0), slots=100)


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

    def advance(self, **config: Any) -> dg.ExecuteInProcessResult:
        """Run advance_job once and return the result."""
        return self.defs.resolve_job_def(self.mount.name("advance_job")).execute_in_process(
            instance=self.instance, run_config={"ops": {"advance": {"config": {"linger_s": 1.0, **config}}}}
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
        yield Place(home, sandbox, resource, defs, instance)


@pytest.fixture
def place(tmp_path: Path, sandbox: SandboxHandle) -> Iterator[Place]:
    """Yield a place for one test."""
    with open_place(tmp_path / "home", sandbox) as opened:
        yield opened
