"""Readers see the old file or the new one, complete; they can change nothing; errors say what to do."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse.errors import NotPublishedError, OpenElsewhereError, QueryError, WarehouseError
from extend_pipeline.warehouse.publish import Published
from extend_pipeline.warehouse.read import query, reading, table_frame
from extend_pipeline_tests.support.ledger.events import append_attempt, seed_attempt, seed_video
from extend_pipeline_tests.support.processes.open_for_writing import open_for_writing
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.warehouse.conftest import Place

WHOLE = """
    SELECT (SELECT ledger_seq FROM _meta), (SELECT count(*) FROM extension_requests), (SELECT count(*) FROM charges),
           (SELECT count(*) FROM lineage), (SELECT count(*) FROM completed_extensions)
"""

OTHER_PROCESS = """
import json, os, sys, time
import duckdb
path, stop, sql = sys.argv[1:]
looks, seen, wrong = 0, set(), []
print("ready", flush=True)
while not os.path.exists(stop):
    try:
        with duckdb.connect(path, read_only=True) as connection:
            row = connection.execute(sql).fetchall()[0]
            if not (row[0] == 5 * row[1] and row[2] == 3 * row[1] and row[3] == row[4] == row[1]):
                wrong.append(str(row))
        seen.add(row[0])
    except Exception as error:
        wrong.append(repr(error))
    looks += 1
print(json.dumps({"looks": looks, "seen": len(seen), "wrong": wrong[:3]}))
"""


def test_readers_at_any_moment_of_many_publishes_find_a_whole_file(
    small_ledger: Ledger, place: Place, tmp_path: Path
) -> None:
    """Compare sums: an attempt has five events and three charges; a mixture of two publishes breaks them."""
    seed_attempt(small_ledger, "a0")
    place.publish(small_ledger)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", OTHER_PROCESS, str(place.target), str(stop), WHOLE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    looks: list[tuple[int, ...]] = []
    failures: list[Exception] = []

    def look() -> None:
        while not stop.exists():
            try:
                looks.append(query(place.target, WHOLE).rows[0])
            except Exception as error:  # noqa: BLE001 - the main thread asserts it
                failures.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(1, 13):
            with small_ledger.write(now_ms=number, actor="test") as tx:
                append_attempt(tx, f"a{number}", hop=number + 1)
            assert isinstance(place.publish(small_ledger), Published)
    finally:
        stop.touch()
        thread.join()
        report = json.loads(process.communicate(timeout=30)[0])
    assert failures == []
    assert {(5 * n, n, 3 * n, n, n) for _, n, *_ in looks} == set(looks)
    assert len(set(looks)) >= 5
    assert report["wrong"] == []
    assert report["looks"] >= 20
    assert report["seen"] >= 5


def test_a_reader_keeps_the_file_that_it_opened(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    count = "SELECT count(*) FROM charges"
    with duckdb.connect(str(place.target), read_only=True) as plain, reading(place.target) as reader:
        seed_attempt(small_ledger, "a2", hop=2)
        place.publish(small_ledger)
        assert plain.execute(count).fetchall() == [(3,)]
        assert reader.execute(count).fetchall() == [(3,)]
        # a reader that opens it now, even in this process, reads the new one
        assert query(place.target, count).rows == [(6,)]
    assert query(place.target, count).rows == [(6,)]


def test_an_open_session_sees_what_was_published_since_by_attaching_anew(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    quoted = str(place.target).replace("'", "''")
    attach = f"ATTACH '{quoted}' AS published (READ_ONLY)"
    count = "SELECT count(*) FROM published.charges"
    with duckdb.connect() as session:
        session.execute(attach)
        seed_attempt(small_ledger, "a2", hop=2)
        place.publish(small_ledger)
        assert session.execute(count).fetchall() == [(3,)]
        session.execute("DETACH published")
        session.execute(attach)
        assert session.execute(count).fetchall() == [(6,)]


def test_every_table_and_view_works_from_the_file_alone_under_any_name(
    small_ledger: Ledger, place: Place, tmp_path: Path
) -> None:
    seed_video(small_ledger, "harbour")
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    copy = tmp_path / "a copy.db"
    copy.write_bytes(place.target.read_bytes())
    place.target.unlink()
    place.work.unlink()
    with duckdb.connect(str(copy), read_only=True) as connection:
        names = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        assert len(names) == 7 + 9 + 5  # with five for the program's own use
        for name in names:
            connection.execute(f'SELECT * FROM "{name}"').fetchall()
        assert connection.execute("SELECT spent_units FROM cost_by_day").fetchall() == [(Decimal(2),)]


@pytest.mark.parametrize(
    "sql",
    [
        "COPY charges TO '{folder}/stolen.csv'",
        "ATTACH '{folder}/new.duckdb'",
        "SELECT * FROM read_text('{folder}/secret.txt')",
        "SELECT * FROM '{folder}/secret.txt'",
        "SET enable_external_access = true",
        "SET memory_limit = '1TB'",
        "DELETE FROM charges",
        "CREATE TABLE warehouse.mine (x INT)",
        "EXPORT DATABASE '{folder}/out'",
        "INSTALL httpfs",
        "SELECT * FROM place",
    ],
)
def test_a_query_can_neither_write_nor_reach_anything_else(
    small_ledger: Ledger, place: Place, tmp_path: Path, sql: str
) -> None:
    place.publish(small_ledger)
    (tmp_path / "secret.txt").write_text("secret")
    before = place.target.read_bytes()
    with pytest.raises(QueryError):
        query(place.target, sql.format(folder=tmp_path))
    assert place.target.read_bytes() == before
    assert not {path.name for path in tmp_path.iterdir()} & {"stolen.csv", "new.duckdb", "out"}


def test_a_query_returns_names_types_and_python_values(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    result = query(place.target, "SELECT hop, units, task_id FROM completed_extensions WHERE attempt_id = ?", ["a1"])
    assert result.columns == ("hop", "units", "task_id")
    assert result.types == ("BIGINT", "DECIMAL(18,6)", "VARCHAR")
    assert result.rows == [(1, Decimal(2), "00task-a1")]
    assert query(place.target, "SELECT 1 WHERE false").rows == []


@pytest.mark.parametrize(
    ("moment", "timezone"),
    [("9999-12-31 23:59:59+00", "Asia/Shanghai"), ("0001-01-01 00:00:00+00", "America/New_York")],
)
def test_a_timestamp_without_a_date_in_the_zone_is_refused_or_text(
    small_ledger: Ledger, place: Place, moment: str, timezone: str
) -> None:
    place.publish(small_ledger)
    with contextlib.suppress(QueryError):  # of DuckDB before 2.0.1
        assert query(place.target, f"SELECT TIMESTAMPTZ '{moment}'", timezone=timezone).rows == [(moment,)]
    assert query(place.target, f"SELECT TIMESTAMPTZ '{moment}'::VARCHAR", timezone=timezone).rows


def test_a_wrong_query_raises_duckdbs_message_and_leaves_nothing_open(small_ledger: Ledger, place: Place) -> None:
    place.publish(small_ledger)
    with pytest.raises(QueryError, match="no_such_column"):
        query(place.target, "SELECT no_such_column FROM charges")
    # a connection left open would refuse this: another configuration of the same file
    duckdb.connect(str(place.target)).close()


def test_a_read_before_the_first_publish_reports_what_to_run(place: Place) -> None:
    with pytest.raises(NotPublishedError) as caught:
        query(place.target, "SELECT 1")
    check_user_text(str(caught.value))
    with pytest.raises(NotPublishedError, match=r"warehouse\.duckdb"):
        table_frame(place.target, "charges")


def test_a_file_that_is_no_database_is_reported(place: Place) -> None:
    place.target.parent.mkdir(parents=True)
    place.target.write_text("not a database")
    with pytest.raises(WarehouseError) as caught:
        query(place.target, "SELECT 1")
    check_user_text(str(caught.value))


def test_a_file_that_a_program_has_open_for_writing_names_the_program(small_ledger: Ledger, place: Place) -> None:
    place.publish(small_ledger)
    with open_for_writing(place.target) as pid:
        with pytest.raises(WarehouseError, match=rf"process {pid}\b") as caught:
            query(place.target, "SELECT 1")
        program = re.search(r"in (\S+) \(process", str(caught.value))
        assert program is not None
        check_user_text(str(caught.value), without={program[1]: "PROGRAM", f"process {pid}": "process ID"})
    assert query(place.target, "SELECT 1").rows == [(1,)]


def test_a_file_that_this_process_has_open_for_writing_is_not_called_broken(small_ledger: Ledger, place: Place) -> None:
    place.publish(small_ledger)
    with contextlib.closing(duckdb.connect(str(place.target))), pytest.raises(OpenElsewhereError) as caught:
        query(place.target, "SELECT 1")
    check_user_text(str(caught.value))
    with contextlib.closing(duckdb.connect(str(place.target), read_only=True)):
        assert query(place.target, "SELECT 1").rows == [(1,)]


def test_a_frame_keeps_money_exact_ids_as_text_and_moments_in_utc(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1", predicted_micros=100_000, unit_price_micros=1_000_000)
    seed_attempt(small_ledger, "a2", hop=2, parent_duration_ms=None)
    place.publish(small_ledger)
    charges = table_frame(place.target, "charges")
    assert charges["units"].sum() == Decimal("2.1")
    assert charges["attempt_id"].tolist() == ["a1"] * 3 + ["a2"] * 3
    assert isinstance(charges["at"].dtype, pd.DatetimeTZDtype)
    completed = table_frame(place.target, "completed_extensions").set_index("attempt_id")
    assert completed["added_duration_s"].to_dict() == {"a1": Decimal("4.5"), "a2": None}
    assert completed["parent_video_id"].tolist() == ["000827942411241803"] * 2
    assert list(table_frame(place.target, "cost_by_day")["spent_amount"]) == [Decimal("0.38")]


def test_a_frame_of_something_that_is_no_table_names_the_tables(small_ledger: Ledger, place: Place) -> None:
    place.publish(small_ledger)
    with pytest.raises(QueryError, match="cost_by_account"):
        table_frame(place.target, "charges; DROP TABLE charges")


def test_reading_is_quick_enough_for_a_sensor(small_ledger: Ledger, place: Place) -> None:
    place.publish(small_ledger)
    query(place.target, "SELECT 1")
    began = time.perf_counter()
    for _ in range(5):
        query(place.target, "SELECT count(*) FROM charges")
    assert time.perf_counter() - began < 5 * 0.5
