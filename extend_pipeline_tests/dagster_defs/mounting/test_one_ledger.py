"""Mounts that share what they should not: two homes with one ledger, one home under two prefixes, and prefixes with the
same names."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.ledger.read import queries
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place, open_place
from extend_pipeline_tests.support.home.homes import video

POLLS = "kling_poll_sensor"
SENSORS = (POLLS, "retention_sensor", "doubt_sensor", "ledger_sensor")
PARTITIONED_ASSETS = ("source_videos", "extension_requests", "completed_extensions")
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


def reasons(place: Place) -> dict[str, str]:
    """Return why the videos in the ledger of a place do not continue."""
    with place.resource.open() as pipeline, pipeline.ledger.read() as connection:
        return {row.video_key: row.state_reason for row in queries.videos(connection)}


def needed(run: dg.ExecuteInProcessResult) -> str:
    """Return what a run's asset check says of what waits for a person."""
    [needs] = [check for check in run.get_asset_check_evaluations() if check.check_name == "nobody_is_needed"]
    assert not needs.passed
    return str(needs.description)


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
    assert not films.sensor(POLLS).run_requests


@pytest.fixture
def studio(tmp_path: Path, mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> tuple[Place, Place]:
    """Return two homes with one ledger, of which the first one's three videos wait for its total budget."""
    monkeypatch.setenv("STUDIO_LEDGER_URL", f"sqlite:///{tmp_path}/studio.sqlite")
    homes = [str(tmp_path / name / "home") for name in ("films", "clips")]
    films, clips = mounted(*(HomeResource(home=home, ledger_url_env="STUDIO_LEDGER_URL") for home in homes))
    films.write([video(key) for key in ("one", "two", "three")], budget={"per_day": 100, "total": 4})  # two steps
    films.sensor("catalog_sensor")
    assert films.advance().success
    assert reasons(films) == dict.fromkeys(("one", "two", "three"), "total_budget")
    return films, clips


def test_a_home_that_has_one_video_of_another_records_nothing_and_asks_for_no_run(studio: tuple[Place, Place]) -> None:
    films, clips = studio
    before = reasons(films)
    clips.write([video("one", extend=ONE_HOP)])
    assert not clips.sensor(POLLS).run_requests
    run = clips.advance()
    assert run.success
    assert str(films.home) in needed(run)
    assert [clips.count(asset) for asset in PARTITIONED_ASSETS] == [0, 0, 0]
    entries = (clips.home / "catalog.yaml").read_text()
    (clips.home / "catalog.yaml").write_text(f"{entries}  misspelt: 1\n")  # also while its files have a mistake
    assert clips.advance().success
    assert [clips.count(asset) for asset in PARTITIONED_ASSETS] == [0, 0, 0]
    (clips.home / "catalog.yaml").write_text(entries)
    for place in (films, clips):
        assert not place.sensor(POLLS).run_requests
    assert reasons(films) == before


def test_two_machines_that_wait_for_different_things_ask_for_no_runs_in_turn(studio: tuple[Place, Place]) -> None:
    films, second = studio
    before = reasons(films)
    shutil.copytree(films.home, second.home, ignore=lambda *_: ["state"])  # without its films
    second.sensor("catalog_sensor")
    assert "media store" in needed(second.advance())
    for place in (films, second):
        assert not place.sensor(POLLS).run_requests
    assert reasons(films) == before


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
