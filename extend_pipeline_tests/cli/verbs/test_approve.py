"""Edits that would pay again: what the screens show, what the operator types, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

Home = Callable[..., Cli]
WRITTEN = video("any")["extend"]["prompt"]
EDITED = f"{WRITTEN}."


def _rewrite(run: Cli, *videos: dict[str, Any]) -> None:
    (run.home / "catalog.yaml").write_text(json.dumps({"videos": list(videos)}), encoding="utf-8")


@pytest.fixture
def edited(home_of: Home, request: pytest.FixtureRequest) -> Cli:
    """The command line of a home with two finished videos whose prompts were edited since."""
    keys = [f"{request.node.name[:50].replace('[', '-').replace(']', '')}-{n}" for n in range(2)]
    run = home_of(*(video(key) for key in keys))
    assert run("advance", "--until-idle").exit_code == 0
    _rewrite(run, *(video(key, extend={"steps": 2, "prompt": EDITED}) for key in keys))
    return run


def _waiting(run: Cli, code: int = 1) -> list[dict[str, Any]]:
    return [entry for entry in run.json("plan", code=code)["videos"] if entry["edit"] is not None]


def test_an_edit_is_shown_with_old_and_new_and_the_price_of_each_way(edited: Cli) -> None:
    first, _ = _waiting(edited)
    assert first["obstacle"]["kind"] == "repurchase"
    assert (first["edit"]["paid_for"]["prompt"], first["edit"]["now"]["prompt"]) == (WRITTEN, EDITED)
    assert first["edit"]["keep"]["cost"]["units"] == {"least": "0", "most": "0"}
    assert first["edit"]["pay"]["cost"]["units"] == {"least": "4", "most": "4"}
    shown = edited("status")
    assert shown.exit_code == 1
    check_user_text(line_with(shown.stdout, "VIDEO…"))  # one line for both


def test_keep_pays_nothing_and_pay_pays_once(edited: Cli, sandbox: SandboxHandle) -> None:
    first, second = (entry["video"] for entry in _waiting(edited))
    keeping = edited.json("approve", first, "--keep")
    assert [entry["video"] for entry in keeping["videos"]] == [first]
    before = len(sandbox.charges()["charges"])
    assert edited("advance", "--until-idle").exit_code == 1
    assert len(sandbox.charges()["charges"]) == before
    paying = edited.json("approve", "--all", "--pay")
    assert [entry["video"] for entry in paying["videos"]] == [second]
    assert edited("advance", "--until-idle").exit_code == 0
    assert len(sandbox.charges()["charges"]) == before + 2
    assert edited.json("approve", first, "--pay")["videos"] == []


def test_an_approval_names_the_next_command_only_where_something_is_left_to_buy(edited: Cli) -> None:
    first, second = (entry["video"] for entry in _waiting(edited))
    kept = edited("approve", first, "--keep")
    assert (kept.exit_code, kept.stdout.count("→")) == (0, 0)
    assert edited("approve", second, "--pay").stdout.count("→") == 1


def test_paying_again_is_asked_about_at_a_terminal(edited: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extend_pipeline.commands.approve.is_interactive", lambda: True)
    first, second = (entry["video"] for entry in _waiting(edited))
    declined = edited("approve", first, "--pay", input="n\n")
    assert declined.exit_code == 130
    check_user_text(line_with(declined.stderr, first), without={first: "VIDEO"})
    assert len(_waiting(edited)) == 2
    assert edited("approve", first, "--pay", input="y\n").exit_code == 0
    assert [entry["video"] for entry in _waiting(edited)] == [second]
    for words in (["--pay", "--yes"], ["--keep"]):
        assert "Do it?" not in edited("approve", second, *words, input="").output


def test_an_incomplete_approval_is_wrong_use(edited: Cli) -> None:
    for words in (["--keep"], ["--all"], ["--all", "--keep", "v"], ["unlisted", "--keep"]):
        assert edited("approve", *words).exit_code == 2, words
    assert len(_waiting(edited)) == 2


def test_a_video_that_a_mistake_hides_is_refused_with_the_mistake(edited: Cli) -> None:
    first, second = (entry["video"] for entry in _waiting(edited))
    _rewrite(edited, video(first, extent={}), video(second, extend={"steps": 2, "prompt": EDITED}))
    refused = edited("approve", first, "--keep")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert ": extent: " in refused.stderr
    assert [entry["video"] for entry in edited.json("approve", second, "--keep")["videos"]] == [second]


def test_an_emptied_catalogue_is_shown_until_a_person_says_that_it_was_meant(home_of: Home) -> None:
    run = home_of(*(video(f"emptied-{number:02}") for number in range(12)))
    assert run("approve", "--all", "--keep").exit_code == 0
    _rewrite(run)
    assert run("approve", "--all", "--keep").exit_code == 0
    shown = run("status")
    assert shown.exit_code == 1
    check_user_text(line_with(shown.stdout, "left the catalogue"))
    assert len(run.json("status", code=1)["withdrawn_with_many"]) == 12
    for words in (["--withdrawn", "--keep"], ["--withdrawn", "--all"], ["--withdrawn", "emptied-00"]):
        assert run("approve", *words).exit_code == 2, words
    approved = run("approve", "--withdrawn", "--why", "the films are made elsewhere")
    check_user_text(approved.stdout.strip())
    assert run.json("approve", "--withdrawn")["videos"] == []
    assert run("status").exit_code == 0
