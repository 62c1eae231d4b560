"""Several processes advance one home at once: the ledger arbitrates, nothing is paid twice, every process works."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline_tests.support.home.engine_home import EngineHome
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.processes.children import CONTEXT, advancing
from extend_pipeline_tests.support.servers.postgres import PostgresServer

VIDEOS = 50
_databases = itertools.count()


@pytest.mark.parametrize(("database", "processes"), [("sqlite", 2), ("postgresql", 4)])
def test_processes_that_advance_one_home_share_the_work_and_pay_once(
    database: str, processes: int, make_home: Callable[..., EngineHome], request: pytest.FixtureRequest
) -> None:
    url = None
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_ledger(f"several_{next(_databases)}")
    home = make_home(ledger_url=url, share_media=True, width=64, height=64)
    home.options["max_submits"] = 4
    home.seeded(VIDEOS, steps=1)
    # a response takes its time, as a provider's does: meanwhile the other processes reach the ledger
    home.sandbox.faults([{"kind": "slow_headers", "where": "submit", "hold": 0.3, "times": VIDEOS + 10}])
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    open_ledger(home.ledger_url).close()
    together = CONTEXT.Barrier(processes)
    outputs = [home.path / f"{number}.txt" for number in range(processes)]
    children = [advancing(settings, output, confined=False, max_seconds=50, together=together) for output in outputs]
    assert [child.wait() for child in children] == [0] * processes, [child.output_text for child in children]
    assert "Traceback" not in "".join(child.output_text for child in children)

    ledger = open_ledger(home.ledger_url)
    try:
        totals = reckon(home, ledger)
        assert totals.charges == VIDEOS
        assert totals.states == {"stored": VIDEOS}
        with ledger.read() as connection:
            events = list(connection.execute(select(tables.events.c.actor, tables.events.c.kind)))
        claims = Counter(actor for actor, kind in events if kind == "attempt_claimed")
        stores = Counter(actor for actor, kind in events if kind == "attempt_stored")
        assert sum(claims.values()) == sum(stores.values()) == VIDEOS
        assert len(claims.keys() | stores.keys()) >= 2, (claims, stores)
        assert len(claims) >= 2, claims
        replays_to_the_same(ledger, home.path)
    finally:
        ledger.close()
