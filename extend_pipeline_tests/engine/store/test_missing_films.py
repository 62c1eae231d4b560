"""Results that are gone from the media store: found missing, fetched again without a charge, or reported as lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.status import status
from extend_pipeline.engine.store.missing import what_to_do
from extend_pipeline.engine.store.watch import LOOK_EVERY_MS
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, Role
from extend_pipeline_tests.engine.store.films import assert_consistent, look_and_drive, results
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.user_texts import check_user_text


def finished(home: EngineHome, provider: str) -> None:
    if provider == "kling":
        home.seeded(1, steps=2)
    else:
        other_home(home, provider, steps=2)


@pytest.mark.parametrize("provider", ["kling", "kling-gateway", "vidu", "luma"])
def test_a_film_that_was_deleted_is_fetched_again_and_costs_nothing(home: EngineHome, provider: str) -> None:
    finished(home, provider)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert status(pipeline).exit_code == 0
        charged = home.sandbox.charges()["charges"]
        first, last = results(pipeline)
        before = last.read_bytes()
        last.unlink()
        now = status(pipeline)
        (gone,) = now.store.missing
        assert (gone.role, gone.cause, gone.state) == (Role.RESULT, Cause.GONE, "missing")
        assert gone.where.endswith("/2")
        assert gone.expires_at is not None
        assert now.exit_code == 1
        look_and_drive(pipeline)
        assert last.read_bytes() == before
        assert first.is_file()
        assert status(pipeline).exit_code == 0
        assert home.sandbox.charges()["charges"] == charged
        assert home.sandbox.charges()["double"] == []


def test_a_missing_film_of_a_removed_account_names_what_brings_it_back(home: EngineHome) -> None:
    (written,) = home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        (film,) = results(pipeline)
    film.unlink()
    home.write([], account(home.sandbox.base_url, name="another"))
    with home.open(JumpClock()) as pipeline:
        look_and_drive(pipeline)
        (gone,) = status(pipeline).store.missing
        check_user_text(f"{gone.describe()} → {what_to_do(gone)}")
    home.write([written])
    with home.open(JumpClock()) as pipeline:
        look_and_drive(pipeline)
        assert status(pipeline).store.is_complete
        assert len(home.sandbox.charges()["charges"]) == 1


def test_missing_films_are_recorded_on_both_ledgers(
    make_home: Callable[..., EngineHome], ledger_url: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(2, steps=1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        cut, gone = results(pipeline)
        gone.unlink()
        cut.write_bytes(cut.read_bytes()[:100])
        clock.skip(LOOK_EVERY_MS + 1)
        home.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 9999}])
        advance(pipeline, publish=False)
        with pipeline.ledger.read() as connection:
            missing = files.found_missing(connection)
            with_hint = set(connection.execute(select(tables.schedule.c.attempt_id)).scalars())
        assert {row.cause for row in missing} == {"gone", "cut"}
        assert {row.owner for row in missing} == with_hint
        assert_consistent(pipeline, tmp_path)
        with pipeline.ledger.write(now_ms=clock(), actor="a restore from a backup") as tx:
            tx.connection.execute(delete(tables.schedule))
        home.sandbox.clear_faults()
        drive(pipeline)  # hints that were lost are made again
        assert status(pipeline).store.is_complete
        with pipeline.ledger.read() as connection:
            assert set(connection.execute(select(tables.missing_files.c.state)).scalars()) == {"restored"}
        (tmp_path / "again.sqlite").unlink()
        assert_consistent(pipeline, tmp_path)
        assert len(home.sandbox.charges()["charges"]) == 2


def test_a_film_that_its_provider_no_longer_has_is_lost_and_may_be_forgotten(home: EngineHome, tmp_path: Path) -> None:
    other_home(home, "vidu")  # its URLs can't be refreshed
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        (film,) = results(pipeline)
        content = film.read_bytes()
        film.unlink()
        home.sandbox.set_offset(40 * DAY_MS / 1000)
        clock.skip(40 * DAY_MS)
        home.sandbox.faults([{"kind": "expired_url", "where": "download", "times": 9999}])
        drive(pipeline)
        (lost,) = status(pipeline).store.missing
        assert lost.lost
        assert status(pipeline).exit_code == 1
        film.write_bytes(content)  # from a backup
        look_and_drive(pipeline)
        assert status(pipeline).store.is_complete
        film.unlink()
        look_and_drive(pipeline)
        with pipeline.ledger.read() as connection:
            (row,) = files.found_missing(connection, states=("lost",))
        with pipeline.ledger.write(now_ms=clock(), actor="a person") as tx:
            files.record_forgotten(tx, row)
        assert status(pipeline).store.is_complete
        look_and_drive(pipeline)
        assert status(pipeline).store.is_complete
        assert_consistent(pipeline, tmp_path)


def test_all_films_of_a_store_with_our_mark_are_fetched_again_without_asking(home: EngineHome) -> None:
    home.seeded(2, steps=2)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert pipeline.store.mark() is not None
        for path in results(pipeline):
            path.unlink()
        look_and_drive(pipeline)
        assert status(pipeline).store.is_complete
        assert len(home.sandbox.charges()["charges"]) == 4
