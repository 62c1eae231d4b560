"""A ledger that moves between databases: everything arrives, and exactly one of the two may spend, wherever the process
that moves it is killed."""

from __future__ import annotations

import itertools
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import func, select, text, update

from extend_pipeline.base import failpoints
from extend_pipeline.ledger import copying, tables
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import Ledger, LedgerError, NotOpenError, open_ledger
from extend_pipeline.ledger.handover import Moved, move, reopen
from extend_pipeline.ledger.identity import Standing, read_identity
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.write.claims import claim as claim_in
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline_tests.support.ledger.steps import NOON, claim, request, run_through
from extend_pipeline_tests.support.processes.children import CONTEXT
from extend_pipeline_tests.support.user_texts import check_user_text

LATER: Final = NOON + 10**9  # past every lease
STEPS: Final = [point for point in failpoints.POINTS if point.startswith("copy.") and point != "copy.after_memory"]
WAYS: Final = [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite"), ("postgresql", "postgresql")]

_numbers = itertools.count()


@pytest.fixture
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Yield a function that returns the URL of an empty database of a kind."""

    def make(kind: str) -> str:
        name = f"moved_{next(_numbers)}"
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.sqlite"
        url: str = request.getfixturevalue("postgres").new_database(name)
        return url

    return make


def filled(url: str) -> Ledger:
    """Return a ledger with a stored attempt, a claimed one, a backoff, a scheduled look and an inbox row."""
    ledger = open_ledger(url)
    run_through(ledger, "harbour")
    claim(ledger, request("lighthouse"))
    with ledger.write(now_ms=NOON, actor="test") as tx:
        attempt = tx.connection.execute(select(tables.attempts.c.attempt_id).limit(1)).scalar_one()
        tx.connection.execute(tables.backoff.insert().values(account="other", not_before=1, failures=2, note="busy"))
        if not tx.connection.execute(select(tables.schedule)).first():
            row = {"account": "kling-main", "due_at": 5, "tries": 1, "note": "é", "owner": ""}
            tx.connection.execute(tables.schedule.insert().values(attempt_id=attempt, **row))
        row = {"account": "kling-main", "received_at": 7, "task_id": None, "note": "", "body": '{"a": "ü"}'}
        digest = webhook_inbox.token_digest("token")
        tx.connection.execute(tables.inbox.insert().values(digest=digest, attempt_id=attempt, **row))
    return ledger


def contents(ledger: Ledger) -> dict[str, Any]:
    """Return the rows of every table without the events of the move itself."""
    with ledger.read() as connection:
        rows = {t.name: sorted(map(tuple, connection.execute(select(t)))) for t in copying.COPIED}
    rows["events"] = [row for row in rows["events"] if row[2] != "ledger_copied"]
    return rows


def may_spend(url: str) -> bool:
    """Return whether a process that opens this ledger now could claim."""
    ledger = open_ledger(url)
    try:
        with ledger.write(now_ms=LATER, actor="spender") as tx:
            step = request("spender")
            held = claim_in(tx, [step], caps=_caps(), owner="spender", lease_until=LATER)
            assert held.claimed == (step,)
            raise _RollBackError
    except NotOpenError:
        return False
    except _RollBackError:
        return True
    finally:
        ledger.close()


class _RollBackError(Exception):
    """Roll a claim back."""


def _caps() -> dict[str, Any]:
    from extend_pipeline.ledger.spending_rules import BudgetLimits

    return {"kling-main": BudgetLimits(10**12, 10**12, 1000, 10**12)}


def moved(source: str, target: str) -> Moved:
    """Move a ledger in this process."""
    old, new = open_ledger(source), Ledger(target)
    try:
        return move(old, new, now_ms=LATER, actor="ann")
    finally:
        old.close()
        new.close()


def _move_and_die(source: str, target: str, point: str) -> None:
    failpoints.arm(f"{point}=kill")
    moved(source, target)


@pytest.mark.parametrize(("old_kind", "new_kind"), WAYS)
def test_everything_arrives_and_the_old_ledger_names_the_new_one(
    new_url: Callable[[str], str], old_kind: str, new_kind: str
) -> None:
    source, target = new_url(old_kind), new_url(new_kind)
    old = filled(source)
    before = contents(old)
    result = moved(source, target)
    assert result.rows == {name: len(rows) for name, rows in before.items()}
    assert result.committed.keys() == {"kling-main"}
    new = open_ledger(target)
    assert contents(new) == before == contents(old)
    assert check_invariants(new) == []
    with old.read() as connection:
        sealed = read_identity(connection)
    assert (sealed.standing, sealed.moved_to_id) == (Standing.SEALED, result.ledger_id)
    with pytest.raises(NotOpenError) as refused, old.write(now_ms=LATER, actor="late"):
        pass
    assert result.address in str(refused.value)
    assert (may_spend(source), may_spend(target)) == (False, True)
    old.close()
    new.close()


@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize(("old_kind", "new_kind"), WAYS[:2])
def test_a_kill_at_any_step_leaves_exactly_one_that_may_spend(
    new_url: Callable[[str], str], old_kind: str, new_kind: str, point: str
) -> None:
    source, target = new_url(old_kind), new_url(new_kind)
    old = filled(source)
    before = contents(old)
    old.close()
    victim = CONTEXT.Process(target=_move_and_die, args=(source, target, point))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    sealed = point in ("copy.after_seal", "copy.after_open")
    # the copy's rows are one transaction: before its commit it is an empty ledger, which a home's guard asks about
    with closing_ledger(source) as ledger, ledger.read() as connection:
        assert (read_identity(connection).standing is Standing.SEALED) == sealed
    assert may_spend(source) is not sealed
    with closing_ledger(target) as ledger, ledger.read() as connection:
        committed = connection.execute(select(func.count()).select_from(tables.events)).scalar_one() > 0
    assert committed == (STEPS.index(point) >= STEPS.index("copy.after_target_commit"))
    if committed:
        assert may_spend(target) is sealed
    moved(source, target)
    assert (may_spend(source), may_spend(target)) == (False, True)
    with closing_ledger(target) as ledger:
        assert contents(ledger) == before
        assert check_invariants(ledger) == []


class closing_ledger(closing[Ledger]):  # noqa: N801 - used like the function that it extends
    """Open a ledger and close it at the end."""

    def __init__(self, url: str) -> None:
        super().__init__(open_ledger(url))


def test_what_was_written_after_a_stopped_copy_is_copied_too(new_url: Callable[[str], str]) -> None:
    source, target = new_url("sqlite"), new_url("sqlite")
    filled(source).close()
    victim = CONTEXT.Process(target=_move_and_die, args=(source, target, "copy.after_target_commit"))
    victim.start()
    victim.join(60)
    old = open_ledger(source)
    claim(old, request("pier"))
    before = contents(old)
    old.close()
    moved(source, target)
    with closing_ledger(target) as ledger:
        assert contents(ledger) == before


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_ledger_is_not_overwritten(new_url: Callable[[str], str], kind: str) -> None:
    source, target = new_url("sqlite"), new_url(kind)
    filled(source).close()
    filled(target).close()
    with pytest.raises(LedgerError):
        moved(source, target)
    with pytest.raises(LedgerError):
        moved(source, source)
    assert may_spend(source)


def test_another_programs_database_is_left_alone(new_url: Callable[[str], str], tmp_path: Path) -> None:
    source = new_url("sqlite")
    filled(source).close()
    with closing(sqlite3.connect(tmp_path / "other.sqlite")) as database:
        database.execute("CREATE TABLE events (name TEXT)")
    with pytest.raises(LedgerError):
        moved(source, f"sqlite:///{tmp_path}/other.sqlite")
    assert may_spend(source)


def test_a_move_waits_for_leases(new_url: Callable[[str], str]) -> None:
    source, target = new_url("sqlite"), new_url("sqlite")
    old = filled(source)
    with old.read() as connection:
        until = connection.execute(select(func.max(tables.attempts.c.lease_until))).scalar_one()
    with pytest.raises(LedgerError):
        move(old, Ledger(target), now_ms=until - 1, actor="ann")
    old.close()


def test_a_copy_whose_charges_were_spoilt_is_not_opened(
    new_url: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = new_url("sqlite"), new_url("sqlite")
    filled(source).close()
    copy_rows = copying.copy_rows

    def spoil(reading: Any, writing: Any) -> Any:
        digests = copy_rows(reading, writing)
        writing.execute(tables.charges.update().values(micros=tables.charges.c.micros + 1))
        return digests

    monkeypatch.setattr(copying, "copy_rows", spoil)
    with pytest.raises(LedgerError):
        moved(source, target)
    assert may_spend(source)


TAKEN_BACK = (
    "DROP INDEX ix_videos_state_video_key",
    "CREATE INDEX ix_videos_state ON videos (state)",
    "DROP INDEX ix_attempts_video_key_hop",
    "CREATE INDEX ix_attempts_video_key ON attempts (video_key)",
    "DROP INDEX ix_attempts_account_claimed_at",
    "CREATE INDEX ix_attempts_account ON attempts (account)",
    "DROP INDEX ix_reconciliations_verdict",
    "DROP INDEX ix_attempts_adopted",
    "DROP INDEX ix_attempts_unknown_kind",
    "DROP INDEX ix_videos_withdrawn_with_many",
    "DROP INDEX ix_inbox_task_id",
    "DROP TABLE declared_catalogue",
    "DROP TABLE earlier_catalogues",
    "ALTER TABLE accounts DROP COLUMN silent_submits",
    "DROP TABLE contacts",
)
"""What takes back the migrations from 0011 on, which have no way down of their own."""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_seal_is_lifted_by_a_person_once_the_copy_is_lost(new_url: Callable[[str], str], kind: str) -> None:
    source, target = new_url("sqlite"), new_url(kind)
    filled(source).close()
    moved(source, target)
    with closing_ledger(source) as ledger:
        with pytest.raises(LedgerError) as caught:
            reopen(ledger, now_ms=LATER, actor="ann", why="tired")
        check_user_text(str(caught.value), without={shown_address(target): "TARGET"})
        assert [may_spend(source), may_spend(target)] == [False, True]
        with closing_ledger(target) as copy, copy.alone() as (connection, _):
            # as if only an older version had used it
            connection.execute(text("ALTER TABLE ledger_head DROP COLUMN program"))
            for column in ("cause", "refusals", "refused_since", "sha256"):
                connection.execute(text(f"ALTER TABLE schedule DROP COLUMN {column}"))
            for statement in TAKEN_BACK:
                connection.execute(text(statement))
            connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
        with pytest.raises(LedgerError) as caught:
            reopen(ledger, now_ms=LATER, actor="ann", why="tired")
        check_user_text(str(caught.value), without={shown_address(target): "TARGET"})
        with closing_ledger(target) as copy, copy.alone() as (connection, _):
            connection.execute(update(tables.ledger_head).values(ledger_id="another"))  # as if it was created again
        reopen(ledger, now_ms=LATER, actor="ann", why="the copy is lost")
        assert check_invariants(ledger) == []
    assert may_spend(source)
