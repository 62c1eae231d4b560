"""A folder of films that was moved elsewhere, with a link in its place, is named, and nothing is written through it."""

from __future__ import annotations

import json
from pathlib import Path

from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline_tests.engine.store.films import results
from extend_pipeline_tests.engine.submit.test_full_disk import finishes
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.processes.bounded import run_bounded
from extend_pipeline_tests.support.user_texts import check_user_text, line_with


def test_a_moved_folder_is_named_and_all_goes_on_once_it_is_back(home: EngineHome, tmp_path: Path) -> None:
    home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        [film] = results(pipeline)
    moved = film.parent.rename(tmp_path / "larger-disk")
    film.parent.symlink_to(moved)
    before = {path.name for path in moved.iterdir()}
    home.seeded(1, steps=2)
    with home.open(JumpClock()) as pipeline:
        [video] = drive(pipeline).videos
    assert video.blocker is not None
    assert video.blocker.reason is BlockReason.NO_DISK_SPACE
    shown = run_bounded(home, "status", "--json")
    assert shown.returncode == 1
    assert [video["obstacle"]["kind"] for video in json.loads(shown.stdout)["videos"]] == ["no_disk_space"]
    text = line_with(run_bounded(home, "status").stdout, "needs you: v000: ")
    check_user_text(text, without={f"the link {film.parent.name} ": "the link XX "})
    assert {path.name for path in moved.iterdir()} == before
    film.parent.unlink()
    moved.rename(film.parent)
    finishes(home, charges=2)
