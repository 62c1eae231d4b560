"""`plan` and `status` of chosen videos, and of more videos than a screen takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from extend_pipeline.cli import cli
from extend_pipeline.commands.render.videos import MANY
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import account, video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

COMPLETE = [f"v{number:03}" for number in range(MANY + 5)]
OPEN = ["v900", "v901"]


@pytest.fixture
def many(tmp_path: Path) -> Cli:
    """A home with more videos than a table shows: most are due, three wait for a person, five belong to another
    account."""
    # a source that is older than its provider keeps it needs a decision of a person
    gone = {"created_at": "2026-01-01T00:00:00Z"}
    videos = [video(f"v{number:03}", extend={"steps": 1, "prompt": "on"}) for number in range(MANY + 20)]
    for entry in videos[-3:]:
        entry["source"].update(gone)
    for entry in videos[:5]:
        entry["account"] = "second"
    address = "http://127.0.0.1:9"
    accounts = [account(address, max_in_flight=200), account(address, name="second", max_in_flight=200)]
    return Cli(write_home(tmp_path / "home", address, videos, accounts=accounts))


@pytest.fixture
def finished(tmp_path: Path) -> Cli:
    """A home with more complete videos than a table shows, and two that are due. Nothing is bought for the complete
    ones, because their sources of 5.1 s are as long as they shall become."""
    videos = [video(key, extend={"to": 5.5, "prompt": "on"}) for key in COMPLETE]
    videos += [video(key, extend={"steps": 1, "prompt": "on"}) for key in OPEN]
    return Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", videos))


def keys(document: dict[str, Any]) -> list[str]:
    """Return the keys of a document's videos."""
    return [shown["video"] for shown in document["videos"]]


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_filters_choose_and_all_of_them_must_fit(verb: str, many: Cli) -> None:
    assert len(keys(many.json(verb, code=1))) == MANY + 20
    assert keys(many.json(verb, "v007", "v001", code=1)) == ["v001", "v007"]
    assert keys(many.json(verb, "--account", "second", code=1)) == [f"v{number:03}" for number in range(5)]
    assert keys(many.json(verb, "--needs-you", code=1)) == [f"v{MANY + place:03}" for place in (17, 18, 19)]
    assert keys(many.json(verb, "--state", "blocked", code=1)) == keys(many.json(verb, "--needs-you", code=1))
    assert keys(many.json(verb, "--state", "complete", code=1)) == []
    assert keys(many.json(verb, "--state", "due", "--account", "second", "v002", "v030", code=1)) == ["v002"]
    chosen = many.json(verb, "v001", code=1)
    assert (chosen["due"], chosen["needs_person"]) == (1, 0)
    assert [total["account"] for total in chosen["totals"]] == ["second"]


@pytest.mark.parametrize("verb", ["plan", "status"])
@pytest.mark.parametrize(
    "arguments", [("v0001",), ("nope",), ("v" * 5000,), ("--account", "secnd"), ("--state", "done")]
)
def test_what_does_not_exist_is_wrong_use(verb: str, arguments: tuple[str, ...], many: Cli) -> None:
    result = many(verb, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    check_user_text(result.stderr)


@pytest.mark.parametrize("verb", ["plan", "status"])
@pytest.mark.parametrize("arguments", [("v0O1",), ("--account", "secnd")])
def test_what_a_mistake_may_hide_is_named_beside_it(verb: str, arguments: tuple[str, ...], many: Cli) -> None:
    assert many("advance").exit_code == 2  # it has no key of the accounts, and makes the ledger
    catalogue = json.loads((many.home / "catalog.yaml").read_text(encoding="utf-8"))
    catalogue["videos"][9]["extent"] = {}
    (many.home / "catalog.yaml").write_text(json.dumps(catalogue), encoding="utf-8")
    result = many(verb, *arguments)
    assert result.exit_code == 2
    check_user_text(line_with(result.stderr, arguments[-1]))
    if verb == "status":
        result = many(verb, *arguments, "--json")
        assert keys(json.loads(result.stdout)) == []
        assert arguments[-1] in result.stderr
    assert "v001" not in many(verb, "v001").stderr


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_a_video_under_a_new_key_is_named_by_it(verb: str, tmp_path: Path) -> None:
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", [video("before"), video("beside")]))
    assert run("advance").exit_code == 2  # it has no key of the account, and declares the catalogue
    write_home(run.home, "http://127.0.0.1:9", [video("later", was="before"), video("beside")])
    result = run(verb, "before")
    assert result.exit_code == 2
    check_user_text(result.stderr)


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_a_long_list_is_what_needs_a_person_and_the_first_open_ones(verb: str, many: Cli) -> None:
    short, whole = many(verb).stdout.splitlines(), many(verb, "--all").stdout.splitlines()
    listed = [line.split()[0] for line in short if line.startswith("v0")]
    assert listed == [f"v{place:03}" for place in (MANY + 17, MANY + 18, MANY + 19, *range(MANY - 3))]
    (left_out,) = [line for line in short if line not in whole]
    check_user_text(left_out)
    assert [line.split()[0] for line in whole if line.startswith("v0")] == [
        f"v{place:03}" for place in range(MANY + 20)
    ]


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_complete_videos_are_listed_if_a_filter_chose_them(verb: str, finished: Cli) -> None:
    def listed(*arguments: str) -> list[str]:
        lines = finished(verb, *arguments).stdout.splitlines()
        return [line.split()[0] for line in lines if line.startswith(("v0", "v9"))]

    assert listed() == OPEN
    assert listed("--state", "complete") == COMPLETE[:MANY]
    assert listed("--state", "complete", "--all") == COMPLETE
    assert listed("--account", "sandbox") == listed("--state", "due", "--state", "complete")
    assert listed("--account", "sandbox") == [*OPEN, *COMPLETE[: MANY - 2]]
    assert listed(*COMPLETE) == COMPLETE[:MANY]
    for arguments in ([], ["--state", "complete"]):
        check_user_text(line_with(finished(verb, *arguments).stdout, "not in the table"))


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_a_filter_leaves_a_line_of_what_needs_a_person_elsewhere(verb: str, many: Cli) -> None:
    chosen = many(verb, "v001")
    assert chosen.exit_code == 1
    screen = chosen.stdout.splitlines()
    (place,) = [place for place, line in enumerate(screen) if line.startswith("needs you: ")]
    check_user_text("\n".join(screen[place : place + 2]))
    for arguments in ([], ["--needs-you"], ["--state", "blocked"]):
        assert "elsewhere" not in many(verb, *arguments).stdout
    for arguments, count in ((["v001"], 0), ([f"v{MANY + 19:03}"], 1), ([], 3)):
        document = many.json(verb, *arguments, code=1)
        assert (document["needs_person"], document["needs_person_in_all"]) == (count, 3)


def test_blockers_beyond_the_screen_are_counted(tmp_path: Path) -> None:
    videos = [video(f"v{number:03}") for number in range(MANY + 4)]
    for number, entry in enumerate(videos):
        entry["source"]["created_at"] = (
            f"2025-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z"  # a reason of its own
        )
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", videos))
    whole = run("plan", "--all").stdout.splitlines()
    assert sum("→" in line for line in whole) == MANY + 4
    left_out = [line for line in run("plan").stdout.splitlines() if line not in whole]
    check_user_text("\n".join(left_out))


def test_a_home_without_videos_is_an_empty_list(tmp_path: Path) -> None:
    home = write_home(tmp_path / "home", "http://127.0.0.1:9")
    result = CliRunner().invoke(cli, ["--home", str(home), "plan", "--json"])
    assert json.loads(result.stdout)["videos"] == []
