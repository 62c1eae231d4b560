"""A home knows its ledger: with another, a new, an older or a copied one it pays nothing until the operator agrees."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.guards.ledger_look import accept, look
from extend_pipeline.engine.guards.ledger_memory import ANCHOR_FILE, MEMORY_FILE
from extend_pipeline.engine.guards.ledger_verdict import Kind
from extend_pipeline.ledger.database import NotOpenError, open_ledger
from extend_pipeline.ledger.handover import move
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same

MakeHome = Callable[..., EngineHome]


def charge_count(home: EngineHome) -> int:
    """Return the number of the sandbox's charges."""
    return len(home.sandbox.charges()["charges"])


def at(home: EngineHome, url: str, path: Path | None = None) -> EngineHome:
    """Return the same home with another ledger, or its copy at another path."""
    return EngineHome(path or home.path, home.sandbox, url)


def kind_of(home: EngineHome) -> Kind:
    """Return how the home knows its ledger."""
    with home.open() as pipeline:
        return look(pipeline.settings, pipeline.ledger).kind


def test_a_new_ledger_pays_nothing_until_it_is_accepted(make_home: MakeHome, ledger_url: str, tmp_path: Path) -> None:
    home = make_home()
    home.seeded(1, steps=1)
    assert kind_of(home) is Kind.FIRST_HOME
    with home.open() as pipeline:
        drive(pipeline)
    assert (charge_count(home), kind_of(home)) == (1, Kind.SAME)
    with_new_ledger = at(home, ledger_url)
    with with_new_ledger.open() as pipeline:
        plan = drive(pipeline)
        assert [video.blocker and video.blocker.reason for video in plan.videos] == [BlockReason.LEDGER]
        assert plan.ledger is not None
        assert charge_count(home) == 1
        accepted = accept(pipeline.settings, pipeline.ledger, who="ann", why="new", now_ms=pipeline.now_ms())
        assert accepted.kind is Kind.NEW
        drive(pipeline)
        replays_to_the_same(pipeline.ledger, tmp_path)
    assert kind_of(with_new_ledger) is Kind.SAME
    assert kind_of(home) is Kind.OTHER
    assert charge_count(home) == 1  # Kling refuses the same key


@pytest.mark.parametrize("provider", OTHERS)
def test_no_provider_is_paid_again_from_another_ledger_and_advance_ends(
    home: EngineHome, tmp_path: Path, provider: str
) -> None:
    other_home(home, provider)
    with home.open() as pipeline:
        drive(pipeline)
    with at(home, f"sqlite:///{tmp_path}/typo.sqlite").open() as pipeline:
        plan = drive(pipeline)  # ends: nothing goes on by itself
        assert [video.blocker and video.blocker.reason for video in plan.videos] == [BlockReason.LEDGER]
    assert charge_count(home) == 1


def test_that_a_ledger_is_not_accepted_here_is_not_written_into_it(home: EngineHome, tmp_path: Path) -> None:
    home.seeded(1, steps=2)
    with home.open() as pipeline:
        assert advance(pipeline).submitted.posts == 1
    with at(home, f"sqlite:///{tmp_path}/new.sqlite").open() as pipeline:
        drive(pipeline)
        accept(pipeline.settings, pipeline.ledger, who="ann", why="new", now_ms=pipeline.now_ms())
        drive(pipeline)
    with home.open() as pipeline:  # with its first ledger again
        plan = drive(pipeline)
        assert [video.blocker and video.blocker.reason for video in plan.videos] == [BlockReason.LEDGER]
        with pipeline.ledger.read() as connection:
            assert [row.state for row in queries.videos(connection)] == [VideoState.WORKING]


def test_an_older_state_and_a_diverged_one_are_noticed(home: EngineHome) -> None:
    entries = home.seeded(2, steps=1)
    home.catalogue(entries[:1])
    with home.open() as pipeline:
        drive(pipeline)
    file = home.path / "state" / "ledger.sqlite"
    backup = shutil.copyfile(file, home.path / "backup.sqlite")
    home.catalogue(entries)
    with home.open() as pipeline:
        drive(pipeline)
    shutil.copyfile(backup, file)
    assert kind_of(home) is Kind.BEHIND
    with home.open() as pipeline:
        drive(pipeline)
        assert charge_count(home) == 2
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            for _ in range(100):
                tx.append("ledger_accepted", data={})
    assert kind_of(home) is Kind.DIVERGED


def test_a_copied_home_needs_the_operator_and_a_moved_one_does_not(home: EngineHome, tmp_path: Path) -> None:
    home.seeded(1, steps=1)
    with home.open() as pipeline:
        drive(pipeline)
    shutil.copytree(home.path, tmp_path / "copy")
    copy = at(home, f"sqlite:///{tmp_path}/copy/state/ledger.sqlite", tmp_path / "copy")
    assert kind_of(copy) is Kind.COPIED_HOME
    with copy.open() as pipeline:
        accept(pipeline.settings, pipeline.ledger, who="ann", why="", now_ms=pipeline.now_ms())
    assert kind_of(copy) is Kind.SAME
    home.path.rename(tmp_path / "moved")
    assert kind_of(at(home, f"sqlite:///{tmp_path}/moved/state/ledger.sqlite", tmp_path / "moved")) is Kind.SAME


def test_a_backup_that_is_restored_over_its_folder_needs_the_operator(home: EngineHome, tmp_path: Path) -> None:
    written = other_home(home, "luma")
    home = at(home, f"sqlite:///{home.path}/state/ledger.sqlite")
    with home.open() as pipeline:
        drive(pipeline)
    state, backup = home.path / "state", tmp_path / "backup"
    shutil.copytree(state, backup)
    home.catalogue([{**written[0], "extend": {**written[0]["extend"], "steps": 3}}])
    with home.open() as pipeline:
        drive(pipeline)
    assert (charge_count(home), kind_of(home)) == (3, Kind.SAME)
    for path in (path for path in backup.rglob("*") if path.is_file()):
        target = state / path.relative_to(backup)
        if not target.exists() or target.read_bytes() != path.read_bytes():  # as rsync does
            shutil.copy2(path, target)
    with home.open() as pipeline:
        drive(pipeline)
    assert (charge_count(home), kind_of(home)) == (3, Kind.COPIED_HOME)


def test_films_without_a_ledger_need_the_operator(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    with home.open() as pipeline:
        drive(pipeline)
    for path in [home.path / "state" / MEMORY_FILE, *(home.path / "state").glob(f"{ANCHOR_FILE}*")]:
        path.unlink()
    assert kind_of(home) is Kind.KNOWN_HISTORY  # as of a home of an earlier version
    (home.path / "state" / "ledger.sqlite").unlink()
    assert kind_of(home) is Kind.NEW


def test_an_unreadable_record_of_the_ledger_needs_the_operator(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    with home.open() as pipeline:
        drive(pipeline)
    (home.path / "state" / MEMORY_FILE).write_text("{")
    assert kind_of(home) is Kind.UNREADABLE_MEMORY


def test_a_moved_ledger_goes_on_without_the_operator(home: EngineHome, ledger_url: str) -> None:
    entries = home.seeded(2, steps=1)
    home.catalogue(entries[:1])
    with home.open() as pipeline:
        drive(pipeline)
        target = open_ledger(ledger_url)
        move(pipeline.ledger, target, now_ms=pipeline.now_ms(), actor="ann")
        target.close()
        with pytest.raises(NotOpenError):
            drive(pipeline)
    home.catalogue(entries)
    assert kind_of(home) is Kind.SEALED
    new = at(home, ledger_url)
    assert kind_of(new) is Kind.MOVED_HERE
    with new.open() as pipeline:
        drive(pipeline)
    assert (charge_count(home), kind_of(new)) == (2, Kind.SAME)
