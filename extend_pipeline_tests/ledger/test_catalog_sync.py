"""Declaring a catalogue: a key that was another video's first gets a name of its own, and the cost follows the
entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import event

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.replay import differences, replay
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.declared_keys import withdrawn_with_many
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.ledger.write.catalog_sync import FEW, Declaration, Declared, Progress
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


def complete(ledger: Ledger, keys: Sequence[str]) -> None:
    """Record that videos are complete."""
    done = Progress(VideoState.COMPLETE, "", "", 1, 30_000)
    with ledger.write(now_ms=2, actor="t") as tx:
        rows = queries.videos(tx.connection, keys=keys)
        definitions = {row.video_key: row.definition_digest for row in rows}
        catalog_sync.record_progress(tx, dict.fromkeys(keys, done), definitions=definitions)


def test_progress_of_an_entry_that_was_edited_meanwhile_is_not_written(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    declare(ledger, [declaration("one"), declaration("two")])
    done = Progress(VideoState.COMPLETE, "", "", 1, 30_000)
    with ledger.write(now_ms=2, actor="t") as tx:
        rows = {row.video_key: row.definition_digest for row in queries.videos(tx.connection)}
        written = catalog_sync.record_progress(
            tx, dict.fromkeys(rows, done), definitions={**rows, "two": "of an earlier entry"}
        )
    with ledger.read() as connection:
        states = {row.video_key: row.state for row in queries.videos(connection)}
    ledger.close()
    assert (written, states) == (["one"], {"one": "complete", "two": "new"})


def left_together(ledger: Ledger) -> list[str]:
    with ledger.read() as connection:
        return [video.video_key for video in withdrawn_with_many(connection)]


@pytest.mark.parametrize(
    ("unfinished", "completed", "left", "found"),
    [
        (14, 0, 13, 13),
        (FEW, 0, FEW - 1, 0),
        (30, 0, 14, 14),
        (10 * 14, 0, 14, 0),
        (14, 100, 13, 13),
        (14, 100, 114, 14),
        (0, 40, 40, 0),
        (2, 1, 3, 2),
        (2, 1, 2, 0),
    ],
    ids=[
        "most left",
        "few left",
        "fewer than half left, which may be one file",
        "a tenth left",
        "most of the unfinished left",
        "all left",
        "complete ones left",
        "nothing is left of few",
        "a complete one is left of few",
    ],
)
def test_which_videos_that_leave_at_once_may_have_left_by_a_mistake(
    ledger: Ledger, unfinished: int, completed: int, left: int, found: int
) -> None:
    entries = [declaration(f"v{number:03}") for number in range(unfinished + completed)]
    declare(ledger, entries)
    complete(ledger, [entry.video_key for entry in entries[unfinished:]])
    declare(ledger, entries[left:])
    assert left_together(ledger) == [entry.video_key for entry in entries[:found]]


def test_videos_that_left_together_are_remembered_until_they_are_back_or_a_person_says_so(
    ledger: Ledger, tmp_path: Path
) -> None:
    entries = [declaration(f"v{number:02}") for number in range(14)]
    others = [declaration(f"w{number:03}") for number in range(130)]
    keys = [entry.video_key for entry in entries]
    declare(ledger, entries)
    declare(ledger, entries[12:])
    declare(ledger, [*entries[12:], *others])
    assert left_together(ledger) == keys[:12], "other videos that come change nothing"
    declare(ledger, [*entries[2:], *others])
    assert left_together(ledger) == keys[:2]
    with ledger.write(now_ms=3, actor="ann") as tx:
        assert catalog_sync.confirm_withdrawn(tx, why="meant") == ("v00", "v01")
    declare(ledger, others)
    assert left_together(ledger) == [], "a tenth of them"
    declare(ledger, [])
    assert left_together(ledger) == [entry.video_key for entry in others]
    again = open_ledger(f"sqlite:///{tmp_path}/again.sqlite")
    replay(ledger, again)
    assert differences(ledger, again) == []
    again.close()
