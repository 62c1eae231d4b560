"""`ledger accept` where the ledger holds another home's videos, and what other verbs say before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video, write_home


def obstacles(home: Cli) -> set[str]:
    """Return what the videos of a home wait for."""
    videos = json.loads(home("status", "--json").stdout)["videos"]
    return {video["obstacle"]["kind"] for video in videos if video["obstacle"]}


def test_the_second_home_is_refused_until_its_operator_accepts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", f"sqlite:///{tmp_path}/shared.sqlite")
    films, clips = (Cli(tmp_path / name) for name in ("films", "clips"))
    for home, keys in ((films, ("f1", "f2")), (clips, ("c1",))):
        write_home(home.home, "http://127.0.0.1:9", [video(key) for key in keys])
    films("advance")
    refused = clips("advance")
    for home in (films, clips):
        assert str(home.home) in refused.stdout
    assert "Traceback" not in refused.stderr
    (blocked,) = clips.json("status", code=1)["videos"]
    assert (blocked["video"], blocked["obstacle"]["kind"]) == ("c1", "ledger_not_accepted")
    for home in (films, clips):
        assert str(home.home) in blocked["obstacle"]["message"]

    findings = clips.json("doctor", "--offline", code=1)["findings"]
    assert any(str(films.home) in finding["message"] for finding in findings)

    assert films.json("ledger", "accept", "--why", "t") == {"accepted": False, "kind": "same", "message": ""}
    with monkeypatch.context() as terminal:
        terminal.setattr("extend_pipeline.commands.ledger.is_interactive", lambda: True)
        declined = clips("ledger", "accept", input="n\n")
        assert declined.exit_code == 130
        assert str(films.home) in declined.stderr
        assert "Do it?" not in films("ledger", "accept").output
    accepted = clips.json("ledger", "accept", "--why", "films has ended")
    assert (accepted["accepted"], accepted["kind"]) == (True, "other_home")
    assert str(films.home) in accepted["message"]
    assert not clips.json("ledger", "accept", "--why", "again")["accepted"]
    clips("advance")
    assert "ledger_not_accepted" not in obstacles(clips)
    assert obstacles(films) == {"ledger_not_accepted"}
