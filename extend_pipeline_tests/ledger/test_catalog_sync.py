"""Declaring a catalogue: a key that was another video's first gets a name of its own, and the cost follows the
entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import event

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.ledger.write.catalog_sync import Declaration, Declared
from extend_pipeline.ledger.write.renames_and_choices import Renames, rename


def declaration(key: str, *, digest: str = "d", was: str | None = None) -> Declaration:
    """Return the declaration of a video of one source."""
    return Declaration(
        video_key=key,
        account="k",
        provider="kling",
        definition_digest=digest,
        source_video_id="1",
        branch_of=None,
        branch_hop=None,
        model=None,
        mode=None,
        source_created_at=None,
        extendable_until=None,
        source_duration_ms=5000,
        target_ms=30_000,
        target_steps=None,
        was=was,
    )


def declare(ledger: Ledger, entries: Sequence[Declaration], **renamed: str) -> Declared:
    """Declare a catalogue after renaming videos (old by new)."""
    with ledger.write(now_ms=1, actor="t") as tx:
        rename(tx, Renames(videos=renamed))
        return catalog_sync.declare(tx, entries, digest="c")


def test_the_rows_of_the_ledger_are_read_once_for_all_entries(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    reads: list[str] = []
    event.listen(
        ledger.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: reads.append(statement) if "FROM videos" in statement else None,
    )
    made = declare(ledger, [declaration(f"v{number}") for number in range(20)])
    assert (len(made.new), len(reads)) == (20, 2)  # the rows, and the names that are taken
    ledger.close()


def test_a_key_that_was_anothers_first_names_its_steps_anew(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    declare(ledger, [declaration("one")])
    declare(ledger, [declaration("two", was="one")], two="one")
    made = declare(ledger, [declaration("two", was="one"), declaration("one"), declaration("other", was="lost")])
    with ledger.read() as connection:
        first = {row.video_key: row.first_key for row in queries.videos(connection)}
    ledger.close()
    assert made == Declared(("one", "other"), (), ())
    assert first["two"] == "one"
    assert first["one"] not in (None, "one")
    assert first["other"] == "lost"
