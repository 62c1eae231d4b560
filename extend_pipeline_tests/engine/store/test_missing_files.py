"""Films that are gone from the media store: detected, fetched again without a charge, or reported as lost."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.status import status
from extend_pipeline.engine.store.deep_check import check_deeply
from extend_pipeline.engine.store.look import doubt_about_store
from extend_pipeline.engine.store.missing import store_now, what_to_do
from extend_pipeline.engine.store.restore import restore_parts
from extend_pipeline.engine.store.watch import LOOK_EVERY_MS, accept_store, watch_store
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.projection.replay import differences, replay
from extend_pipeline.ledger.write import files, transitions
from extend_pipeline.ledger.write.files import Cause, Role
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import films_in
from extend_pipeline_tests.support.user_texts import check_user_text

HOUR_MS = 3_600_000


def rows(pipeline: Pipeline, *columns: Any) -> list[Any]:
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(*columns).order_by(tables.attempts.c.hop)))


def results(pipeline: Pipeline) -> list[Path]:
    return [
        pipeline.settings.media_dir / row.path for row in rows(pipeline, tables.attempts.c.path, tables.attempts.c.hop)
    ]


def look_and_drive(pipeline: Pipeline) -> None:
    pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
    drive(pipeline)


def assert_consistent(pipeline: Pipeline, folder: Path) -> None:
    """Assert that every invariant holds and that a replay of the events gives the same tables."""
    assert check_invariants(pipeline.ledger) == []
    again = open_ledger(f"sqlite:///{folder}/again.sqlite")
    try:
        replay(pipeline.ledger, again)
        assert differences(pipeline.ledger, again) == []
    finally:
        again.close()


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


def test_a_damaged_film_is_found_by_its_hash_and_replaced(home: EngineHome) -> None:
    home.seeded(1, steps=2)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        first, _ = results(pipeline)
        valid = first.read_bytes()
        first.write_bytes(valid[:-1] + bytes([valid[-1] ^ 1]))
        assert status(pipeline).store.is_complete  # the name and the length are right
        done = check_deeply(pipeline)
        assert done.damaged == [f"{first.parent.name}/{first.name}"]
        (gone,) = status(pipeline).store.missing
        assert gone.cause is Cause.DAMAGED
        drive(pipeline)
        assert first.read_bytes() == valid
        assert check_deeply(pipeline).damaged == []
        assert status(pipeline).store.is_complete


def test_an_interrupted_deep_check_goes_on(home: EngineHome) -> None:
    home.seeded(3, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        folders = sorted({path.parent.name for path in results(pipeline)})

        def end(done: Any) -> None:
            if done.folder == folders[-1]:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check_deeply(pipeline, on_progress=end)
        again = check_deeply(pipeline)
        assert again.first_folder == folders[-1]
        assert again.files < 3 + len(folders)
        assert check_deeply(pipeline).first_folder == ""


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


def test_a_store_of_an_earlier_version_is_marked_when_its_films_are_there(home: EngineHome) -> None:
    home.seeded(2, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        (pipeline.settings.media_dir / ".media-store").unlink()
        advance(pipeline, publish=False)
        assert pipeline.store.mark() is not None


def test_a_round_does_not_check_the_store_each_time(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    from extend_pipeline.engine.store import watch

    home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        looks: list[int] = []
        real = watch.look
        monkeypatch.setattr(watch, "look", lambda *arguments, **options: looks.append(1) or real(*arguments, **options))
        for _ in range(5):
            advance(pipeline, publish=False)
        assert looks == []
        pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
        advance(pipeline, publish=False)
        advance(pipeline, publish=False)
        assert looks == [1]


def test_a_large_store_is_compared_a_part_at_a_time(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    from extend_pipeline.engine.store import watch

    home.seeded(4, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        paths = results(pipeline)
        assert len({path.parent for path in paths}) > 1
        for path in paths:
            path.unlink()
        monkeypatch.setattr(watch, "PART", 1)
        pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
        found: list[int] = []
        while pipeline.store.mark().at_ms < pipeline.now_ms() - LOOK_EVERY_MS:  # type: ignore[union-attr]
            watch.watch_store(pipeline)
            with pipeline.ledger.read() as connection:
                found.append(len(files.found_missing(connection)))
        assert 0 < found[0] < found[-1] == len(paths)
        assert store_now(pipeline, limit=1).missing == store_now(pipeline).missing


def test_films_of_no_attempt_are_counted(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        folder = pipeline.settings.media_dir / "cd"
        folder.mkdir(exist_ok=True)
        (folder / f"{'cd' * 32}.mp4").write_bytes(b"somebody's")
        now = store_now(pipeline)
        assert (now.unknown, now.unknown_bytes) == (1, 10)
        assert now.is_complete


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
