"""What a hop costs in statements, from its claim to the stored film, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from sqlalchemy import Connection, event

from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive

HOPS: Final = 32
MOST: Final = 40  # statements a hop, BEGIN among them, with all reads of all rounds
MOST_WRITING: Final = 25  # of them in write transactions
WAVES: Final = 3  # a busy machine splits a wave, and each part has a transaction of its own: one whole wave is enough


def test_a_hop_costs_few_statements(make_home: Callable[..., EngineHome], ledger_url: str) -> None:
    home = make_home(ledger_url=ledger_url)
    for wave in range(WAVES):
        reading_too, writing = _statements(home, first=wave * HOPS)
        print(f"{reading_too:.1f} statements a hop, {writing:.1f} in write transactions")
        if reading_too <= MOST and writing <= MOST_WRITING:
            return
    pytest.fail(f"no wave with at most {MOST} statements a hop and {MOST_WRITING} in write transactions")


def _statements(home: EngineHome, *, first: int) -> tuple[float, float]:
    """Take one hop of each of `HOPS` new videos; return its statements, and those of them in write transactions."""
    home.seeded(HOPS, first=first)
    statements: list[bool] = []

    def note(connection: Connection, *_others: Any) -> None:
        statements.append(connection.info["mode"] == "write")

    with home.open(JumpClock()) as pipeline:
        declare_catalogue(pipeline)
        for counted in ("begin", "before_cursor_execute"):  # SQLAlchemy executes no statement for BEGIN
            event.listen(pipeline.ledger.engine, counted, note)
        drive(pipeline)
        for counted in ("begin", "before_cursor_execute"):
            event.remove(pipeline.ledger.engine, counted, note)
        assert check_invariants(pipeline.ledger) == []
        with pipeline.ledger.read() as connection:
            assert len(queries.attempts_in(connection, (AttemptState.STORED,))) == first + HOPS
    return len(statements) / HOPS, sum(statements) / HOPS
