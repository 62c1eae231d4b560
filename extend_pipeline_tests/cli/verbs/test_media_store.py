"""Films that are gone, as a person sees it: status, doctor, and their words on it."""

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
    """A home whose one video has been extended by one hop."""
    run = home_of(video(key, extend={"steps": 1, "prompt": "the fog lifts"}))
    assert run("advance", "--until-idle").exit_code == 0
    return run


def sizes(media: Path) -> dict[str, int]:
    """Return the films of a store by their names, with their lengths in bytes."""
    return {str(path.relative_to(media)): path.stat().st_size for path in films_in(media)}


def test_from_an_unmounted_store_to_one_that_is_full_again(home_of: Home, sandbox: SandboxHandle) -> None:
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
    assert [each["state"] for each in run.json("status", code=1)["store"]["missing"]] == ["missing"] * len(before)
    assert run("advance", "--until-idle").exit_code == 0
    assert sizes(media) == before
    assert levels(run.json("doctor", "--offline")) == ["ok"]
    assert len(sandbox.charges()["charges"]) == charged


def test_a_film_that_a_look_finds_gone_is_fetched_by_the_next_advance(home_of: Home, sandbox: SandboxHandle) -> None:
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


def test_doctor_deep_finds_damage_and_advance_mends_it(home_of: Home) -> None:
    run = finished(home_of, "damaged")
    media = run.home / "state" / "media"
    with_damage = media / max(sizes(media))
    sound = with_damage.read_bytes()
    with_damage.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    assert levels(run.json("doctor", "--offline")) == ["ok"]
    assert "problem" in levels(run.json("doctor", "--offline", "--deep", code=1))
    assert run("advance", "--until-idle").exit_code == 0
    assert with_damage.read_bytes() == sound
    assert levels(run.json("doctor", "--offline", "--deep")) == ["ok", "ok"]


def test_what_is_not_lost_is_not_forgotten(home_of: Home) -> None:
    run = home_of(video("there"))
    assert run.json("media", "forget", "there/1", code=1)["not_lost"] == ["there/1"]
    assert run("media", "forget").exit_code == 2
