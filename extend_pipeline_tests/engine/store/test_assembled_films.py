"""Films that are joined from parts and gone from the media store: made again, as soon as their parts are there."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.status import status
from extend_pipeline.engine.store.restore import restore_parts
from extend_pipeline.engine.store.watch import LOOK_EVERY_MS, watch_store
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.files import Role
from extend_pipeline_tests.engine.store.films import HOUR_MS, look_and_drive, rows
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.home.every_provider import other_home


def test_a_missing_film_of_a_removed_account_is_made_again_from_its_parts(home: EngineHome) -> None:
    other_home(home, "luma")
    table = tables.attempts
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        ((film_path, _),) = rows(pipeline, table.c.film_path, table.c.hop)
        film = pipeline.settings.media_dir / film_path
    film.unlink()
    home.write([], account(home.sandbox.base_url, name="another"))
    with home.open(JumpClock()) as pipeline:
        assert [gone.role for gone in status(pipeline).store.missing] == [Role.FILM]
        look_and_drive(pipeline)
        assert film.is_file()
        assert status(pipeline).store.is_complete


def test_an_assembled_film_is_made_again_from_its_parts_and_waits_for_them(home: EngineHome) -> None:
    other_home(home, "luma", steps=2)  # its account has output: segment
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        table = tables.attempts
        paths = rows(pipeline, table.c.path, table.c.film_path, table.c.film_duration_ms, table.c.hop)
        assert all(row.film_path for row in paths)
        charged = home.sandbox.charges()["charges"]
        for row in paths:
            (pipeline.settings.media_dir / row.film_path).unlink()
            (pipeline.settings.media_dir / row.path).unlink()
        with pipeline.ledger.read() as connection:
            source = connection.execute(select(tables.videos.c.source_path)).scalar_one()
        (pipeline.settings.media_dir / source).unlink()
        look_and_drive(pipeline)
        pipeline.now_ms.skip(HOUR_MS)  # type: ignore[attr-defined]
        drive(pipeline)
        again = rows(pipeline, table.c.path, table.c.film_path, table.c.film_duration_ms, table.c.hop)
        assert [row.film_duration_ms for row in again] == [row.film_duration_ms for row in paths]
        assert status(pipeline).store.is_complete
        assert home.sandbox.charges()["charges"] == charged


def test_after_a_stop_no_missing_film_is_made(home: EngineHome) -> None:
    other_home(home, "luma", 2)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        for row in rows(pipeline, tables.attempts.c.film_path, tables.attempts.c.hop):
            (pipeline.settings.media_dir / row.film_path).unlink()
        pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
        watch_store(pipeline)
        stop = threading.Event()
        stop.set()
        assert restore_parts(pipeline, stop=stop) == []
        assert restore_parts(pipeline) == ["luma-0/1", "luma-1/1"]
        assert status(pipeline).store.is_complete


def test_a_new_part_whose_parents_film_is_gone_is_kept_and_joined_later(home: EngineHome) -> None:
    entries = other_home(home, "luma")
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        table = tables.attempts
        ((first_path, film_path, _),) = rows(pipeline, table.c.path, table.c.film_path, table.c.hop)
        (pipeline.settings.media_dir / film_path).unlink()
        hidden = pipeline.settings.media_dir / first_path
        hidden.rename(hidden.with_suffix(".away"))
        entries[0]["extend"] = {"steps": 2, "prompt": "the fog lifts"}
        home.catalogue(entries)
        for _ in range(40):
            advance(pipeline, publish=False)
            pipeline.now_ms.skip(1000)  # type: ignore[attr-defined]
        second = rows(pipeline, table.c.state, table.c.film_path, table.c.hop)[-1]
        assert second.state == "stored"
        hidden.with_suffix(".away").rename(hidden)
        look_and_drive(pipeline)
        second = rows(pipeline, table.c.film_path, table.c.film_duration_ms, table.c.hop)[-1]
        assert second.film_path
        assert second.film_duration_ms > 14_000
        assert status(pipeline).store.is_complete


@pytest.mark.parametrize("gone", ["the result", "the source that it continues"])
def test_a_file_of_unknown_kind_that_is_gone_ends_nothing_and_is_classified_when_it_is_back(
    home: EngineHome, gone: str
) -> None:
    other_home(home, "luma")  # its account has output: segment
    table = tables.attempts
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        ((attempt_id, path, _),) = rows(pipeline, table.c.attempt_id, table.c.path, table.c.hop)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="an analysis before output: was written") as tx:
            unknown = {"output_kind": "unknown", "film_path": None, "film_sha256": None, "film_duration_ms": None}
            transitions.examined(tx, attempt_id, unknown)
            source = tx.connection.execute(select(tables.videos.c.source_path)).scalar_one()
        (pipeline.settings.media_dir / (path if gone == "the result" else source)).unlink()
        advance(pipeline, publish=False)  # before the store was compared
        look_and_drive(pipeline)
        pipeline.now_ms.skip(HOUR_MS)  # type: ignore[attr-defined]
        drive(pipeline)
        ((kind, film_path, _),) = rows(pipeline, table.c.output_kind, table.c.film_path, table.c.hop)
        assert (kind, bool(film_path)) == ("segment", True)
        assert status(pipeline).store.is_complete
        assert len(home.sandbox.charges()["charges"]) == 1
