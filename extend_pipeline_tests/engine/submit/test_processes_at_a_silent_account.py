"""Processes that start together on an account whose provider takes connections and never replies: together they send
two submits, then and later."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, entry, source_id
from extend_pipeline_tests.support.ledger.committed import peaks
from extend_pipeline_tests.support.processes.children import CONTEXT, advancing
from extend_pipeline_tests.support.servers.postgres import PostgresServer
from extend_pipeline_tests.support.servers.silent import SilentServer

PROCESSES = 4
VIDEOS = 12
_databases = itertools.count()


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_processes_that_race_for_a_silent_account_send_two_submits(
    database: str,
    make_home: Callable[..., EngineHome],
    silent_server: SilentServer,
    request: pytest.FixtureRequest,
) -> None:
    url = None
    if database == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_ledger(f"silent_{next(_databases)}")
    home = make_home(ledger_url=url)
    home.options |= {"max_submits": 4, "post_deadline_s": 0.4, "lease_s": 5.6, "get_deadline_s": 0.4}
    home.write([entry(f"v{number}", source_id(number)) for number in range(VIDEOS)], account(silent_server.url))
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    ledger = open_ledger(home.ledger_url)
    try:
        # an hour later leases and pauses are over, the provider has still not replied, and a person should look
        for skipped_ms, code in ((0, 0), (3_600_000, 1)):
            together = CONTEXT.Barrier(PROCESSES)
            children = [
                advancing(
                    settings,
                    home.path / f"{skipped_ms}-{number}.txt",
                    confined=False,
                    max_seconds=3,
                    skipped_ms=skipped_ms,
                    together=together,
                )
                for number in range(PROCESSES)
            ]
            ended = [child.wait() for child in children]
            assert ended == [code] * PROCESSES, [child.output_text for child in children]
            assert silent_server.posts == MAX_SILENT_SUBMITS
            assert peaks(ledger).in_flight == {"k": MAX_SILENT_SUBMITS}
            with ledger.read() as connection:
                assert Counter(connection.execute(select(tables.attempts.c.state)).scalars()) == {
                    "in_doubt": MAX_SILENT_SUBMITS
                }
            assert check_invariants(ledger) == []
    finally:
        ledger.close()
