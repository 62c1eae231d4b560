"""A media store that is gone, empty or another home's: one question, nothing is bought until it is answered."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.status import status
from extend_pipeline.engine.store.look import doubt_about_store
from extend_pipeline.engine.store.watch import accept_store
from extend_pipeline.ledger import tables
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.engine.store.films import results
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.ledger.reckoning import films_in


@pytest.mark.parametrize("missing_store", ["no folder", "an empty mount point", "another home's store"])
def test_a_missing_store_is_one_question_and_nothing_is_bought(
    make_home: Callable[..., EngineHome], missing_store: str
) -> None:
    home = make_home()
    entries = home.seeded(2, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        root = pipeline.settings.media_dir
        aside = root.with_name("unmounted")
        root.rename(aside)
        if missing_store != "no folder":
            root.mkdir()
        if missing_store == "another home's store":
            (root / "ab").mkdir()
            (root / "ab" / f"{'ab' * 32}.mp4").write_bytes(b"x")
            LocalStore(root).set_mark(at_ms=pipeline.now_ms(), new_id="another")
        for video in entries:
            video["extend"] = {"steps": 2}
        home.catalogue(entries)
        posts = len(home.sandbox.charges()["charges"])
        drive(pipeline)
        now = status(pipeline)
        assert now.store.doubt
        assert now.store.missing == ()
        assert now.exit_code == 1
        assert len(home.sandbox.charges()["charges"]) == posts
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.missing_files)).first() is None
        shutil.rmtree(root, ignore_errors=True)
        aside.rename(root)
        drive(pipeline)
        assert status(pipeline).exit_code == 0
        assert len(home.sandbox.charges()["charges"]) == posts + 2


def test_an_emptied_store_is_filled_again_once_the_operator_accepts_it(home: EngineHome) -> None:
    home.seeded(2, steps=2)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        names = {path.name for path in results(pipeline)}
        shutil.rmtree(pipeline.settings.media_dir)
        drive(pipeline)
        assert status(pipeline).store.doubt
        assert accept_store(pipeline, actor="a person") >= 4
        drive(pipeline)
        assert status(pipeline).store.is_complete
        assert names <= {path.name for path in films_in(pipeline.settings.media_dir)}
        assert len(home.sandbox.charges()["charges"]) == 4


def test_a_store_of_an_earlier_version_is_marked_when_its_films_are_there(home: EngineHome) -> None:
    home.seeded(2, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        (pipeline.settings.media_dir / ".media-store").unlink()
        advance(pipeline, publish=False)
        assert pipeline.store.mark() is not None


@pytest.mark.parametrize(
    ("marked", "mounted", "expected", "gone", "unknown", "doubted"),
    [
        (True, True, 100_000, 0, 5, False),
        (True, True, 100_000, 1, 0, False),
        (True, True, 3, 3, 0, False),  # emptied: the folder has our mark
        (True, True, 3, 3, 9, True),  # another home's
        (True, True, 100_000, 90_000, 0, True),
        (True, True, 100_000, 40_000, 0, False),
        (False, True, 4, 4, 0, True),
        (False, True, 4, 3, 1, True),  # a result came into an unmounted folder
        (False, True, 4, 2, 0, False),
        (False, False, 4, 4, 0, True),
        (False, False, 0, 0, 0, False),
    ],
)
def test_a_deleted_film_is_distinguished_from_a_missing_store(
    marked: bool, mounted: bool, expected: int, gone: int, unknown: int, doubted: bool
) -> None:
    doubt = doubt_about_store(marked=marked, folder_exists=mounted, expected=expected, gone=gone, unknown=unknown)
    assert bool(doubt) is doubted
