"""A batch leaves in Dagster's files what Dagster itself would have left there, in a few transactions."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, event

from extend_pipeline.dagster_defs.assets.store_batch import batch_store
from extend_pipeline.dagster_defs.assets.versions import VIDEOS_CODE_VERSION, version_tags
from extend_pipeline_tests.dagster_defs.conftest import instance_at

RUN = "11111111-2222-3333-4444-555555555555"
TABLES = {"event_logs": "event, dagster_event_type, step_key, asset_key, partition"}
INDEX_TABLES = {
    **TABLES,
    "asset_event_tags": "event_id, asset_key, key, value",
    "asset_keys": "asset_key, last_materialization, last_run_id",
}


def materializations(count: int) -> list[dg.AssetMaterialization]:
    return [
        dg.AssetMaterialization(
            asset,
            partition=f"v{number}",
            metadata={"hop": number},
            tags=version_tags(f"{number}", VIDEOS_CODE_VERSION, {}),
        )
        for number in range(count)
        for asset in ("first", "second")
    ]


def run(instance: dg.DagsterInstance, count: int, *, at_once: bool, wal: Path | None = None) -> int:
    """Run an op that records `count` partitions of two assets; return in how many transactions they were written. A
    `wal` has to be there after that, because the connection that closes a file last removes it."""
    commits: list[object] = []

    def note(connection: object) -> None:
        commits.append(connection)

    @dg.op(out=dg.Out(dg.Nothing))
    def work(context: dg.OpExecutionContext) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
        with batch_store(context) as store:
            event.listen(Engine, "commit", note)
            try:
                yield from store(materializations(count)) if at_once else materializations(count)
            finally:
                event.remove(Engine, "commit", note)
            assert wal is None or wal.exists()
        yield dg.Output(None)

    @dg.job
    def job() -> None:
        work()

    assert job.execute_in_process(instance=instance, run_id=RUN).success
    return len(commits)


def rows(path: Path, tables: dict[str, str]) -> list[object]:
    """Return what a file of Dagster's holds of materializations, without times."""
    where = {"event_logs": " WHERE dagster_event_type = 'ASSET_MATERIALIZATION' ORDER BY id"}
    with closing(sqlite3.connect(path)) as connection:
        found = [
            (table, *row)
            for table, columns in tables.items()
            for row in connection.execute(f"SELECT {columns} FROM {table}{where.get(table, '')}")
        ]
    assert len({row[0] for row in found}) == len(tables)
    return [re.sub(r'"timestamp": [0-9.]+', "", str(row)) for row in found]


def test_a_batch_leaves_the_rows_that_dagster_leaves(tmp_path: Path) -> None:
    for name in ("batch", "single"):
        with instance_at(tmp_path / name) as instance:
            wal = tmp_path / name / "history" / "runs" / "index.db-wal"
            run(instance, 3, at_once=name == "batch", wal=wal)
            assert not wal.exists()
            latest = instance.get_latest_materialization_event(dg.AssetKey("second"))
            assert latest is not None
            assert latest.run_id == RUN
            assert instance.get_materialized_partitions(dg.AssetKey("first")) == {"v0", "v1", "v2"}
    for file, tables in ((f"{RUN}.db", TABLES), ("index.db", INDEX_TABLES)):
        batch, single = (rows(tmp_path / name / "history" / "runs" / file, tables) for name in ("batch", "single"))
        assert batch == single


def test_the_transactions_of_a_batch_do_not_grow_with_it(tmp_path: Path) -> None:
    with instance_at(tmp_path / "few") as few, instance_at(tmp_path / "many") as many:
        assert run(few, 2, at_once=True) == run(many, 50, at_once=True) <= 6


@pytest.mark.parametrize("count", [0, 2])
def test_another_storage_gets_its_events_from_dagster(count: int) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, count, at_once=True)
        assert len(instance.get_materialized_partitions(dg.AssetKey("first"))) == count
