"""PostgreSQL behind a real PgBouncer that gives each transaction another session: everything works. A PgBouncer that
splits transactions is refused with the reason."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pytest
from sqlalchemy import func, select, text

from extend_pipeline.commands.doctor.diagnostics import Level
from extend_pipeline.commands.doctor.local_checks import check_ledger
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, LedgerError, open_ledger
from extend_pipeline.ledger.handover import move
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive
from extend_pipeline_tests.support.ledger.steps import NOON, run_through
from extend_pipeline_tests.support.servers.pgbouncer import PASSWORD, USER, needs_pgbouncer, pgbouncer
from extend_pipeline_tests.support.servers.postgres import PostgresServer
from extend_pipeline_tests.support.user_texts import check_user_text

pytestmark = needs_pgbouncer


@pytest.fixture(scope="module", params=["transaction"])
def pooler(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[int]:
    """Yield the port of a PgBouncer."""
    # below /tmp and not below pytest's folder, which the user that it runs as may not enter
    with TemporaryDirectory(prefix="ep-pool-") as folder:
        Path(folder).chmod(0o755)
        with pgbouncer(Path(folder), postgres.new_database(f"pool_{request.param}"), mode=request.param) as port:
            yield port


def through(port: int, database: str) -> str:
    """Return the address of a database behind the pooler, as an operator writes it."""
    return f"postgres://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/{database}"


def test_a_chain_of_hops_is_paid_once_and_replays(
    pooler: int, postgres: PostgresServer, make_home: Callable[..., EngineHome]
) -> None:
    postgres.new_database("pooled_chain")  # empty: the migrations go through the pooler as well
    home = make_home(ledger_url=through(pooler, "pooled_chain"))
    home.seeded(3, steps=2)
    with home.open() as pipeline:
        assert drive(pipeline).due == ()
        with pipeline.ledger.read() as connection:
            states = list(connection.execute(select(tables.attempts.c.state)).scalars())
            # nothing was left behind in the one session that all connections share
            assert connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
        assert states == ["stored"] * 6
        assert check_invariants(pipeline.ledger) == []
    assert len(home.sandbox.charges()["charges"]) == 6
    levels = {finding.level for finding in check_ledger(pipeline.configuration) if finding.check == "ledger"}
    assert levels == {Level.OK}


def test_many_writers_and_readers_share_one_session(pooler: int, postgres: PostgresServer) -> None:
    postgres.new_ledger("pooled_writers")
    ledgers = [open_ledger(through(pooler, "pooled_writers")) for _ in range(3)]

    def write(ledger: Ledger, name: str) -> None:
        for number in range(7):  # the driver would prepare a statement on the server at the sixth
            run_through(ledger, f"{name}-{number}")

    threads = [threading.Thread(target=write, args=(ledger, str(n))) for n, ledger in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        with ledgers[0].read() as connection:
            assert connection.execute(select(func.count()).select_from(tables.attempts)).scalar_one() == 21
        assert check_invariants(ledgers[0]) == []
    finally:
        for ledger in ledgers:
            ledger.close()


def test_a_ledger_is_moved_through_it_in_both_ways(pooler: int, postgres: PostgresServer, tmp_path: Path) -> None:
    postgres.new_database("pooled_move")
    first = open_ledger(f"sqlite:///{tmp_path}/first.sqlite")
    run_through(first, "harbour")
    pooled = Ledger(through(pooler, "pooled_move"))
    moved = move(first, pooled, now_ms=NOON, actor="test")
    assert moved.address == f"postgresql://…@127.0.0.1:{pooler}/pooled_move"
    back = Ledger(f"sqlite:///{tmp_path}/back.sqlite")
    move(pooled, back, now_ms=NOON, actor="test")
    assert check_invariants(back) == []
    for ledger in (first, pooled, back):
        ledger.close()


def test_the_same_ledger_by_another_address_is_refused_at_once(pooler: int, postgres: PostgresServer) -> None:
    direct = postgres.new_ledger("pooled_same")
    ledger, pooled = open_ledger(direct), Ledger(through(pooler, "pooled_same"))
    try:
        with pytest.raises(LedgerError) as refused:
            move(ledger, pooled, now_ms=NOON, actor="test")
        check_user_text(str(refused.value))
    finally:
        ledger.close()
        pooled.close()


@pytest.mark.parametrize("pooler", ["statement"], indirect=True)
def test_a_pooler_that_splits_transactions_is_refused_with_the_setting(pooler: int, postgres: PostgresServer) -> None:
    postgres.new_ledger("pooled_statements")
    with pytest.raises(LedgerError, match="pool_mode") as refused:
        open_ledger(through(pooler, "pooled_statements"))
    check_user_text(str(refused.value))
