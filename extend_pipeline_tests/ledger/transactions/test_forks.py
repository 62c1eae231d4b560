"""A forked process opens connections of its own."""

from __future__ import annotations

import os

import pytest
from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.steps import claim, request

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


def _claims_after_a_fork(ledger: Ledger) -> int:
    """Fork, let the child claim through the same object, and return the child's exit code."""
    child = os.fork()
    if child == 0:
        try:
            code = 0 if claim(ledger, request("in-the-child")).claimed else 1
        except BaseException:  # noqa: BLE001 - a forked child must never return into pytest
            code = 2
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_opens_its_own_connection_and_leaves_its_parents_alone(ledger: Ledger) -> None:
    claim(ledger, request("before"))
    if ledger.dialect == "postgresql":
        with ledger.read() as connection:
            first = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
            assert _claims_after_a_fork(ledger) == 0
            assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == first
    else:  # SQLite itself forbids to fork while a transaction is open
        assert _claims_after_a_fork(ledger) == 0
    assert claim(ledger, request("after")).claimed
    with ledger.read() as connection:
        keys = set(connection.execute(select(tables.attempts.c.video_key)).scalars())
    assert keys == {"before", "in-the-child", "after"}
    assert check_invariants(ledger) == []
