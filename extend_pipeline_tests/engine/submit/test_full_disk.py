"""A disk that is full at each write: nothing is sent that was not claimed, no paid response is lost, the failure is
reported, and once there is room again the next advance finishes everything."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.submit.spool import UnrecordedError
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.processes.bounded import run_bounded
from extend_pipeline_tests.support.servers.postgres import PostgresServer
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

PAGE = 4_096
MakeHome = Callable[..., EngineHome]


def pages(ledger: Ledger, most: int | None) -> int:
    """Limit the ledger's file to `most` pages (None: SQLite's own maximum); return how many it has."""
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {most or 1_073_741_823}")
        return int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())


def claims_and_charges(home: EngineHome, ledger: Ledger) -> tuple[set[str], set[str]]:
    """Return the keys that were committed as claims, and those that the upstream charged for."""
    with ledger.read() as connection:
        claimed = set(connection.execute(select(tables.attempts.c.external_task_id)).scalars())
    return claimed, {charge["external_task_id"] for charge in home.sandbox.charges()["charges"]}


def finishes(home: EngineHome, *, charges: int, publish: bool = True) -> None:
    """Assert that, with room again, everything completes, each step is charged once, and ledger and files agree."""
    with home.open() as pipeline:
        done = drive(pipeline, publish=publish)
        assert {video.state for video in done.videos} == {VideoState.COMPLETE}, done.videos
        assert reckon(home, pipeline.ledger).charges == charges


# The ledger


def test_a_full_ledger_sends_nothing_unclaimed_and_loses_no_response(make_home: MakeHome) -> None:
    """The number of videos and of free pages decides at which write the disk is full: a claim, a mark, an outcome, a
    success."""
    met: set[type[Exception]] = set()
    for videos, room in ((5, 2), (16, 0), (16, 4), (16, 8), (16, 12), (16, 16), (20, 8), (20, 14), (20, 20)):
        home = make_home(f"videos{videos}-room{room}")
        home.seeded(videos, steps=1)
        met |= _advance_with_room(home, room)
        finishes(home, charges=videos, publish=room == 0)
    assert met == {OperationalError, UnrecordedError}, "it must have been full before a POST and after one"


def _advance_with_room(home: EngineHome, room: int) -> set[type[Exception]]:
    """Advance with `room` pages left in the ledger's file; return the types of the errors."""
    failed: list[Exception] = []
    with home.open() as pipeline:
        declare_catalogue(pipeline)
        pages(pipeline.ledger, pages(pipeline.ledger, None) + room)
        for _ in range(4):
            try:
                advance(pipeline, publish=False)
            except (OperationalError, UnrecordedError) as error:
                failed.append(error)
        claimed, charged = claims_and_charges(home, pipeline.ledger)
    assert charged <= claimed, "a POST went out without a committed claim"
    assert all("full" in str(error) for error in failed)
    return {type(error) for error in failed}


def test_a_command_reports_that_the_ledger_is_full_and_what_to_do(home: EngineHome) -> None:
    home.seeded(40, steps=1)
    assert run_bounded(home, "pause").returncode == 0
    assert run_bounded(home, "advance").returncode in (0, 1)
    assert run_bounded(home, "resume").returncode == 0
    size = (home.path / "state" / "ledger.sqlite").stat().st_size

    done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "30", file_bytes=size)

    assert done.returncode != 0
    assert "doctor" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    finishes(home, charges=40)


# The media


@contextmanager
def full_tmpfs(folder: Path, *, size: str) -> Iterator[None]:
    """Mount a file system of that size on the folder; skip the test where none may be mounted."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_result_waits_and_is_reported_where_media_files_may_not_grow(
    make_home: MakeHome, postgres: PostgresServer
) -> None:
    """No file of this process may be larger than 2 kB; the ledger is another process's and goes on."""
    home = make_home(ledger_url=postgres.new_ledger("full_media"))
    home.seeded(3, steps=1)

    done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20", file_bytes=2_000)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    ledger = open_ledger(home.ledger_url)
    with ledger.read() as connection:
        states = set(connection.execute(select(tables.attempts.c.state)).scalars())
    ledger.close()
    assert states == {"succeeded"}, "paid, and waiting to be fetched"
    assert not [path for path in home.settings.media_dir.rglob("*") if path.is_file()]
    finishes(home, charges=3)


def test_a_result_waits_while_the_media_disk_is_full(home: EngineHome) -> None:
    home.seeded(3, steps=1)
    with full_tmpfs(home.settings.media_dir, size="24k"):
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20")
        assert done.returncode == 1
        assert os.strerror(errno.ENOSPC) in done.stdout
        assert "Traceback" not in done.stderr, done.stderr
        assert len(list(home.settings.media_dir.rglob("*.mp4"))) < 3
    finishes(home, charges=3)


def test_a_disk_that_fills_up_keeps_the_films_fetched_before(home: EngineHome) -> None:
    home.seeded(8, steps=1)
    with full_tmpfs(home.settings.media_dir, size="128k"):
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20")
        assert done.returncode == 1
        assert os.strerror(errno.ENOSPC) in done.stdout
        films = [path.name for path in home.settings.media_dir.rglob("*.mp4")]
        ledger = open_ledger(home.ledger_url)
        with ledger.read() as connection:
            stored = set(connection.execute(select(tables.attempts.c.path)).scalars()) - {None}
        ledger.close()
        assert {Path(path).name for path in stored} <= set(films)
        assert not list(home.settings.media_dir.glob(".incoming/*"))
        subprocess.run(["mount", "-o", "remount,size=64m", str(home.settings.media_dir)], check=True)
        finishes(home, charges=8)


# The warehouse


def test_a_warehouse_that_can_not_be_written_is_reported_and_everything_else_is_done(home: EngineHome) -> None:
    home.seeded(3, steps=2)

    done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "30", file_bytes=700_000)

    assert done.returncode == 1
    published, _, cause_and_todo = line_with(done.stderr, "warehouse.duckdb").partition(": ")
    check_user_text(published)
    assert "doctor" in cause_and_todo
    assert "Traceback" not in done.stderr, done.stderr
    assert not (home.path / "state" / "warehouse.duckdb").exists()
    ledger = open_ledger(home.ledger_url)
    assert reckon(home, ledger).states == {"stored": 6}, "all is made, fetched and in the ledger"
    ledger.close()
    finishes(home, charges=6)
    assert (home.path / "state" / "warehouse.duckdb").exists()


def test_a_failed_publish_keeps_the_previous_warehouse(home: EngineHome) -> None:
    home.seeded(2, steps=1)
    with home.open() as pipeline:
        drive(pipeline, publish=True)
    target = home.path / "state" / "warehouse.duckdb"
    before = target.read_bytes()
    home.seeded(4, first=2, steps=1)

    done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "30", file_bytes=700_000)

    assert done.returncode == 1
    published, _, cause_and_todo = line_with(done.stderr, "warehouse.duckdb").partition(": ")
    check_user_text(published)
    assert "doctor" in cause_and_todo
    assert target.read_bytes() == before
    assert run_bounded(home, "publish").returncode == 0
    assert target.read_bytes() != before
