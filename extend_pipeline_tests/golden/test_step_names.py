"""Every step of 1,000 videos has the name that commit 12d5390 gave it: a renamed step would be paid for twice."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.config.checks.purchase import purchase_digest, words_digest
from extend_pipeline.config.load import Configuration, load_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.plan import chain
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.golden.entries import COUNT, HOPS, write_home

RECORDED = Path(__file__).with_name("steps.json")
DEMO = Path(__file__).parents[2] / "data" / "demo"
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def recorded() -> dict[str, Any]:
    """Read the recording."""
    content: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return content


def names_of(home: Path) -> dict[str, dict[str, list[str]]]:
    """Return all names of the first hops of every video of a home, by video and kind."""
    configuration = load_configuration(Settings(home=home), PROVIDERS, now=NOW)
    names = _names(configuration)
    return {key: _names_of_video(key, configuration, names) for key in configuration.catalogue.videos}


def _names(configuration: Configuration) -> chain.Names:
    videos = configuration.catalogue.videos
    earlier = {key: video.was for key, video in videos.items() if video.was is not None}
    accounts = {name: account.was for name, account in configuration.accounts.items() if account.was is not None}
    chosen: dict[str, Mapping[str, str]] = {}
    for number, key in enumerate(videos):
        if number % 10 == 0:  # its second hop plays a step that was paid for
            second = chain.digests(videos[key], 2, videos=videos, names=chain.Names(earlier, accounts, chosen))[2]
            chosen[key] = {second: hashlib.sha256(key.encode()).hexdigest()}
    return chain.Names(earlier, accounts, chosen)


def _names_of_video(key: str, configuration: Configuration, names: chain.Names) -> dict[str, list[str]]:
    videos = configuration.catalogue.videos
    video = videos[key]
    steps = chain.digests(video, HOPS, videos=videos, names=names)
    # ids of results are invented; the id of the source is that of the catalogue
    parents = [getattr(video.source, "source_id", "branch"), *(f"https://r.example.com/{n}?sig=1" for n in range(HOPS))]
    params = [video.extend.hop_params(hop) for hop in range(1, HOPS + 1)]
    own = names.video(key)
    keys = [
        chain.external_task_id(video_key=own, hop=hop, generation=generation, chain_digest=steps[hop])
        for hop, generation in ((1, 1), (2, 1), (HOPS, 3))
    ]
    return {
        "steps": steps,
        "words": [words_digest(hop_params) for hop_params in params],
        "purchases": [purchase_digest(video.provider, *pair) for pair in zip(parents, params, strict=False)],
        "keys": keys,
        "attempts": [chain.attempt_id(key, try_no) for try_no, key in enumerate(keys, start=1)],
    }


def digest_of(names: Mapping[str, list[str]]) -> str:
    """Return one SHA-256 of all names of a video."""
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()


def record(home: Path) -> dict[str, Any]:
    """Return what steps.json holds; homes are made below `home`."""
    home.joinpath("demo").mkdir(parents=True)
    for name in ("accounts.yaml", "catalog.yaml"):
        shutil.copy(DEMO / name, home / "demo" / name)
    written = hashlib.sha256(write_home(home / "entries")).hexdigest()
    digests = {key: digest_of(names) for key, names in names_of(home / "entries").items()}
    return {"written": written, "demo": names_of(home / "demo"), "entries": digests}


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names of all steps, computed by this version."""
    return record(tmp_path_factory.mktemp("golden") / "homes")


def test_the_same_files_are_written(computed: dict[str, Any]) -> None:
    assert computed["written"] == recorded()["written"]


def test_every_entry_has_the_names_that_were_recorded(computed: dict[str, Any]) -> None:
    before, now = recorded()["entries"], computed["entries"]
    assert len(before) == COUNT
    assert now.keys() == before.keys()
    assert [key for key, digest in before.items() if now[key] != digest] == []


def test_the_demo_has_the_names_that_were_recorded(computed: dict[str, Any]) -> None:
    assert computed["demo"] == recorded()["demo"]


if __name__ == "__main__":  # python -m …golden.test_step_names FOLDER writes the recording anew
    RECORDED.write_text(json.dumps(record(Path(sys.argv[1])), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
