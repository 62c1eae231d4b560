"""Mounts that share what they should not: two homes with one ledger, one home under two prefixes, and prefixes with the
same names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place, open_place
from extend_pipeline_tests.support.home.homes import video

SENSORS = ("kling_poll_sensor", "retention_sensor", "doubt_sensor", "ledger_sensor")
MOUNTS = (Mount(key_prefix=("films",)), Mount(key_prefix=("clips",)))


Mounted = Callable[[HomeResource, HomeResource], list[Place]]


@pytest.fixture
def mounted(tmp_path: Path, sandbox: SandboxHandle) -> Iterator[Mounted]:
    """Yield a function that mounts two homes in one code location."""

    def mount_both(*resources: HomeResource) -> list[Place]:
        defs = dg.Definitions.merge(*map(build_mounted, MOUNTS, resources))
        return [
            replace(place, home=Path(resource.home), resource=resource, defs=defs, mount=mount)
            for mount, resource in zip(MOUNTS, resources, strict=True)
        ]

    with open_place(tmp_path / "films" / "home", sandbox) as place:
        yield mount_both


def test_a_home_with_the_ledger_of_another_says_so_and_leaves_its_videos_alone(
    tmp_path: Path, mounted: Mounted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_LEDGER_URL", f"sqlite:///{tmp_path}/studio.sqlite")
    homes = [str(tmp_path / name / "home") for name in ("films", "clips")]
    films, clips = mounted(*(HomeResource(home=home, ledger_url_env="STUDIO_LEDGER_URL") for home in homes))
    films.write([video("ours", extend=ONE_HOP)])
    clips.write([video("theirs", extend=ONE_HOP)])
    films.sensor("catalog_sensor")
    assert films.advance().success
    before = films.states()
    with pytest.raises(dg.Failure) as failed:
        clips.sensor("catalog_sensor")
    message = str(failed.value.description)
    assert homes[0] in message
    assert homes[1] in message
    assert "ledger_url_env" in message
    for name in SENSORS:
        clips.sensor(name)
    run = clips.advance()
    assert run.success
    record = clips.instance.get_run_by_id(run.run_id)
    assert record is not None
    assert "extend_pipeline/needs_person" in record.tags
    assert films.states() == before == {"ours": "complete"}
    assert films.instance.get_dynamic_partitions("clips_videos") == []
    assert clips.submits("theirs") == 0
    assert not films.sensor("kling_poll_sensor").run_requests


def test_a_home_under_two_prefixes_fills_both_and_pays_once(tmp_path: Path, mounted: Mounted) -> None:
    home = str(tmp_path / "films" / "home")
    films, clips = mounted(HomeResource(home=home), HomeResource(home=home))
    films.write([video("ours", extend=ONE_HOP)])
    for place in (films, clips, films, clips):
        place.sensor("catalog_sensor")
    for place in (films, clips):
        assert place.instance.get_dynamic_partitions(place.mount.partitions_name) == ["ours"]
        assert place.advance().success
    assert films.states() == {"ours": "complete"}
    assert films.submits("ours") == 1
