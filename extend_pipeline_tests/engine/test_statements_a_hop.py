"""What a hop costs in statements, from its claim to the stored film, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, event

from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive

HOPS: Final = 32
MOST: Final = 38  # statements a hop, with all reads of all rounds
MOST_WRITING: Final = 25  # of them in write transactions


def test_a_hop_costs_few_statements(make_home: Callable[..., EngineHome], ledger_url: str) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(HOPS)
    statements: list[bool] = []

    def note(connection: Connection, *_others: Any) -> None:
        statements.append(connection.info["mode"] == "write")

    with home.open(JumpClock()) as pipeline:
        declare_catalogue(pipeline)
        event.listen(pipeline.ledger.engine, "before_cursor_execute", note)
        drive(pipeline)
        event.remove(pipeline.ledger.engine, "before_cursor_execute", note)
        assert check_invariants(pipeline.ledger) == []
    print(f"{len(statements) / HOPS:.1f} statements a hop, {sum(statements) / HOPS:.1f} in write transactions")
    assert len(statements) / HOPS <= MOST
    assert sum(statements) / HOPS <= MOST_WRITING
