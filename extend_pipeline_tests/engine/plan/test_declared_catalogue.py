"""Declaring a catalogue that is remembered: what was edited is compared, nothing else, and never too little."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event

from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.declarations import declarations, may_differ
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.ledger.write.catalog_sync import Declared
from extend_pipeline.ledger.write.renames_and_choices import Renames
from extend_pipeline_tests.support.home.engine_home import account, branch, entry, source_id

NOTHING = Declared((), (), ())


def write(home: Path, name: str, *entries: Mapping[str, Any]) -> None:
    """Write one file of the catalogue, and the accounts (JSON is YAML)."""
    (home / "state").mkdir(parents=True, exist_ok=True)
    (home / "catalog").mkdir(exist_ok=True)
    (home / "accounts.yaml").write_text(json.dumps({"accounts": [account()]}))
    (home / "catalog" / f"{name}.yaml").write_text(json.dumps({"videos": list(entries)}))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Write a home whose ten videos lie in two files; one of the second branches off one of the first."""
    home = tmp_path / "home"
    write(home, "a", *(entry(f"a{n}", source_id(n), steps=3) for n in range(5)))
    write(home, "b", *(entry(f"b{n}", source_id(10 + n)) for n in range(4)), branch("b9", "a0", 2, steps=1))
    return home


def declare(home: Path) -> tuple[Declared, int]:
    """Declare the catalogue in a process of its own; return what changed and how many rows of videos were read."""
    with open_home(Settings(home=home)) as pipeline:
        with counted_rows(pipeline) as rows:
            declared = declare_catalogue(pipeline)
        return declared, len(rows)


@contextmanager
def counted_rows(pipeline: Pipeline) -> Iterator[list[Any]]:
    """Collect the keys by which rows of `videos` are read in the block; a read of all of them counts as one."""
    reads: list[Any] = []

    def listen(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if "FROM videos" in statement and "definition_digest" in statement:
            reads.extend(list(values) or ["all"])

    event.listen(pipeline.ledger.engine, "before_cursor_execute", listen)
    yield reads
    event.remove(pipeline.ledger.engine, "before_cursor_execute", listen)


def test_an_unchanged_catalogue_is_not_compared(home: Path) -> None:
    declared, _ = declare(home)
    assert len(declared.new) == 10
    assert declare(home) == (NOTHING, 0)


def test_only_the_entries_of_an_edited_file_and_their_branches_are_compared(home: Path) -> None:
    declare(home)
    write(home, "b", *(entry(f"b{n}", source_id(10 + n), steps=1, prompt="fog") for n in range(2)))
    declared, rows = declare(home)
    assert (declared.new, sorted(declared.changed), sorted(declared.withdrawn)) == (
        (),
        ["b0", "b1"],
        ["b2", "b3", "b9"],
    )
    assert rows == 2 * 5  # the five of the file, when it is looked at and under the lock
    write(home, "a")
    assert sorted(declare(home)[0].withdrawn) == [f"a{n}" for n in range(5)]


def test_a_branch_in_another_file_changes_with_what_it_branches_off(home: Path) -> None:
    declare(home)
    write(
        home, "a", *(entry(f"a{n}", source_id(n), steps=3, **({"prompt": "fog"} if n == 0 else {})) for n in range(5))
    )
    assert sorted(declare(home)[0].changed) == ["a0", "b9"]


def test_two_edits_before_the_next_declaration_are_both_declared(home: Path) -> None:
    declare(home)
    write(home, "a", *(entry(f"a{n}", source_id(n), steps=4) for n in range(5)))
    with open_home(Settings(home=home)):  # remembers the catalogue, and ends before it declares it
        pass
    write(home, "b", *(entry(f"b{n}", source_id(10 + n), steps=2) for n in range(4)))
    declared, _ = declare(home)
    assert sorted(declared.changed) == [*(f"a{n}" for n in range(5)), *(f"b{n}" for n in range(4))]
    assert declared.withdrawn == ("b9",)


def test_what_another_home_has_declared_meanwhile_is_compared_in_whole(home: Path) -> None:
    declare(home)
    write(home, "b", *(entry(f"b{n}", source_id(10 + n)) for n in range(2)))
    with open_home(Settings(home=home)) as pipeline:
        with pipeline.ledger.read() as connection:
            within = may_differ(pipeline, catalog_sync.last_declared(connection), Renames())
        assert within == {*(f"b{n}" for n in range(4)), "b9"}
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="another home") as tx:
            kept = [d for d in declarations(pipeline.configuration) if d.video_key == "a0"]
            catalog_sync.declare(tx, kept, digest="of another catalogue")
        assert sorted(declare_catalogue(pipeline).changed) == ["a1", "a2", "a3", "a4", "b0", "b1"]
    assert declare(home) == (NOTHING, 0)


def test_a_ledger_without_the_row_is_compared_in_whole(home: Path) -> None:
    declare(home)
    with open_home(Settings(home=home)) as pipeline:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
            tx.connection.execute(delete(tables.declared_catalogue))
        with counted_rows(pipeline) as rows:
            assert declare_catalogue(pipeline) == NOTHING
    assert rows == ["all"]
    assert declare(home) == (NOTHING, 0)


def test_a_renamed_video_goes_on_and_a_name_that_comes_back_is_another(home: Path) -> None:
    declare(home)
    write(
        home, "b", {**entry("new", source_id(10)), "was": "b0"}, *(entry(f"b{n}", source_id(10 + n)) for n in (1, 2, 3))
    )
    declare(home)
    with open_home(Settings(home=home)) as pipeline, pipeline.ledger.read() as connection:
        rows = {row.video_key: row for row in queries.videos(connection)}
    assert rows["new"].first_key == "b0"
    assert rows["new"].state is VideoState.NEW
    assert rows["b9"].state is VideoState.WITHDRAWN
    assert "b0" not in rows
    assert declare(home) == (NOTHING, 0)


def test_a_plan_of_a_declared_catalogue_has_the_unfinished_videos(home: Path) -> None:
    declare(home)
    write(home, "b", *(entry(f"b{n}", source_id(10 + n)) for n in range(5)))
    with open_home(Settings(home=home)) as pipeline:
        before = [video.key for video in plan_input(pipeline, unfinished=True).videos]
        declare_catalogue(pipeline)
        after = [video.key for video in plan_input(pipeline, unfinished=True).videos]
    assert before == after == [f"a{n}" for n in range(5)] + [f"b{n}" for n in range(5)]
