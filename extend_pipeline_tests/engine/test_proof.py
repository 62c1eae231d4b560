"""A check proves what changed since it last held, and everything once a day; only a check that holds moves its mark."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.proof import Proved, prove
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.projection.invariants import prove_invariants
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock
from extend_pipeline_tests.support.ledger.events import START, seed_attempt


@pytest.fixture
def pipeline(home: EngineHome) -> Iterator[Pipeline]:
    """Yield an open home with three videos of one hop."""
    home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        for number in range(3):
            seed_attempt(pipeline.ledger, f"a{number}", video=f"v{number}")
        yield pipeline


def check(pipeline: Pipeline) -> Proved:
    return prove(pipeline, "invariants", lambda since: prove_invariants(pipeline.ledger, since=since))


def set_hash(pipeline: Pipeline, attempt_id: str, sha256: str) -> None:
    """Change a row without an event."""
    with pipeline.ledger.write(now_ms=START, actor="vandal") as tx:
        of = tables.attempts.c.attempt_id == attempt_id
        tx.connection.execute(tables.attempts.update().where(of).values(sha256=sha256))


def skip(pipeline: Pipeline, ms: int) -> None:
    assert isinstance(pipeline.now_ms, JumpClock)
    pipeline.now_ms.skip(ms)


def extent(proved: Proved) -> tuple[bool, int, int]:
    """Return whether everything was proved, how many rows, and how many findings there are."""
    return proved.proof.is_whole, proved.proof.rows, len(proved.proof.findings)


def test_what_changed_is_proved_and_once_a_day_everything(pipeline: Pipeline) -> None:
    first = check(pipeline)
    assert extent(first) == (True, 3, 0)
    seed_attempt(pipeline.ledger, "new", video="v1", hop=2)
    second = check(pipeline)
    assert extent(second) == (False, 2, 0)
    assert second.whole_at_ms == first.whole_at_ms
    assert extent(check(pipeline)) == (False, 0, 0)
    skip(pipeline, DAY_MS)
    third = check(pipeline)
    assert extent(third) == (True, 4, 0)
    assert third.whole_at_ms is not None
    assert first.whole_at_ms is not None
    assert third.whole_at_ms - first.whole_at_ms >= DAY_MS
    assert extent(check(pipeline)) == (False, 0, 0)


def test_a_check_that_fails_does_not_move_the_mark(pipeline: Pipeline) -> None:
    first = check(pipeline)
    seed_attempt(pipeline.ledger, "new", video="v1", hop=2)
    set_hash(pipeline, "a1", "")
    for _ in range(2):
        failed = check(pipeline)
        assert extent(failed) == (False, 2, 1)
        assert failed.whole_at_ms == first.whole_at_ms
    set_hash(pipeline, "a1", "ab" * 32)
    assert extent(check(pipeline)) == (False, 2, 0)
    assert extent(check(pipeline)) == (False, 0, 0)


def test_what_is_broken_elsewhere_is_found_within_a_day_and_until_it_holds(pipeline: Pipeline) -> None:
    first = check(pipeline)
    set_hash(pipeline, "a2", "")
    assert extent(check(pipeline)) == (False, 0, 0)
    skip(pipeline, DAY_MS)
    for _ in range(2):
        failed = check(pipeline)
        assert extent(failed) == (True, 3, 1)
        assert failed.whole_at_ms == first.whole_at_ms
    set_hash(pipeline, "a2", "ab" * 32)
    assert extent(check(pipeline)) == (True, 3, 0)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", "no JSON", '{"writer": []}'])
def test_a_mark_that_is_lost_or_damaged_means_a_whole_proof(pipeline: Pipeline, text: str | None) -> None:
    check(pipeline)
    (mark,) = (pipeline.settings.state_dir / "proofs").iterdir()
    if text is None:
        mark.unlink()
    else:
        mark.write_text(text)
    assert extent(check(pipeline)) == (True, 3, 0)
    assert extent(check(pipeline)) == (False, 0, 0)


def test_a_clock_that_was_set_back_and_another_ledger_mean_a_whole_proof(pipeline: Pipeline) -> None:
    skip(pipeline, DAY_MS)
    check(pipeline)
    skip(pipeline, -DAY_MS)
    assert extent(check(pipeline)) == (True, 3, 0)
    assert extent(check(pipeline)) == (False, 0, 0)
    pipeline.ledger.close()
    pipeline.ledger = open_ledger(f"sqlite:///{pipeline.settings.state_dir}/other.sqlite")
    seed_attempt(pipeline.ledger, "a0", video="v0")
    assert extent(check(pipeline)) == (True, 1, 0)
