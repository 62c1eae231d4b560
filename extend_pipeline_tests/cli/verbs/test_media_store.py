"""Missing video files on the command line: what status and doctor report, and how they are fetched again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.ledger.reckoning import films_in

Home = Callable[..., Cli]


def levels(document: dict[str, list[dict[str, str]]]) -> list[str]:
    return [finding["level"] for finding in document["findings"] if finding["check"] == "films"]


def finished(home_of: Home, key: str) -> Cli:
    """Return the command line of a home whose one video has been extended by one hop."""
    run = home_of(video(key, extend={"steps": 1, "prompt": "the fog lifts"}))
    assert run("advance", "--until-idle").exit_code == 0
    return run


def sizes(media: Path) -> dict[str, int]:
    """Return the films of a store by their names, with their lengths in bytes."""
    return {str(path.relative_to(media)): path.stat().st_size for path in films_in(media)}


def test_an_unmounted_store_is_reported_and_refetched_without_a_charge(home_of: Home, sandbox: SandboxHandle) -> None:
    run = finished(home_of, "gone")
    charged = len(sandbox.charges()["charges"])
    media = run.home / "state" / "media"
    before = sizes(media)
    shutil.rmtree(media)
    status = run.json("status", code=1)
    assert status["store"]["doubt"]
    assert status["store"]["missing"] == []
    assert levels(run.json("doctor", "--offline", code=1)) == ["problem"]
    assert run("advance").exit_code == 1
    assert run.json("media", "refetch")["missing"] == len(before)
    assert [file["state"] for file in run.json("status", code=1)["store"]["missing"]] == ["missing"] * len(before)
    assert run("advance", "--until-idle").exit_code == 0
    assert sizes(media) == before
    assert levels(run.json("doctor", "--offline")) == ["ok"]
    assert len(sandbox.charges()["charges"]) == charged


def test_a_film_that_status_finds_missing_is_fetched_by_the_next_advance(home_of: Home, sandbox: SandboxHandle) -> None:
    run = finished(home_of, "deleted")
    charged = len(sandbox.charges()["charges"])
    media = run.home / "state" / "media"
    before = sizes(media)
    for path in before:
        (media / path).unlink()
    assert len(run.json("status", code=1)["store"]["missing"]) == len(before)
    assert run("advance", "--until-idle").exit_code == 0
    assert sizes(media) == before
    assert len(sandbox.charges()["charges"]) == charged


def test_doctor_deep_finds_damage_and_advance_repairs_it(home_of: Home) -> None:
    run = finished(home_of, "damaged")
    media = run.home / "state" / "media"
    with_damage = media / max(sizes(media))
    intact = with_damage.read_bytes()
    with_damage.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
    assert levels(run.json("doctor", "--offline")) == ["ok"]
    assert "problem" in levels(run.json("doctor", "--offline", "--deep", code=1))
    assert run("advance", "--until-idle").exit_code == 0
    assert with_damage.read_bytes() == intact
    assert levels(run.json("doctor", "--offline", "--deep")) == ["ok", "ok"]


def test_only_a_lost_file_can_be_forgotten(home_of: Home) -> None:
    run = home_of(video("there"))
    assert run.json("media", "forget", "there/1", code=1)["not_lost"] == ["there/1"]
    assert run("media", "forget").exit_code == 2
