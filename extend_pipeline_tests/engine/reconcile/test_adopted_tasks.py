"""Which tasks that only the provider knows are adopted, with their cost and their file, and which are not."""

from __future__ import annotations

from decimal import Decimal

from extend_pipeline.base.units import to_micros
from extend_pipeline.engine.reconcile.compare import Statement, StatementLine
from extend_pipeline.engine.reconcile.run import reconcile
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.engine.reconcile.comparing import adopted_attempts, charged, compare_statements, verdicts
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text


def test_a_task_that_only_the_provider_knows_is_adopted_with_its_cost_and_its_file(billed: EngineHome) -> None:
    billed.seeded(1)
    clock = JumpClock()
    with billed.open(clock) as pipeline:
        drive(pipeline)
        foreign = billed.sandbox.foreign_task()
        results = compare_statements(pipeline)
        (item,) = results["list"].disagreements
        assert (item.verdict, item.task_id) == (ReconciliationVerdict.UPSTREAM_ONLY, foreign["task_id"])
        check_user_text(item.note)
        assert results["list"].adopted == (foreign["task_id"],)
        assert results["billing"].adopted == ()
        assert status(pipeline).exit_code == 1  # reported once, until the next comparison
        assert [row.state for row in status(pipeline).orphans] == ["submitted"]
        drive(pipeline, publish=True)
        (adopted,) = adopted_attempts(pipeline)
        assert (adopted.state, adopted.settled_micros) == ("stored", to_micros(Decimal(2)))
        assert (pipeline.settings.media_dir / adopted.path).stat().st_size == adopted.bytes
        assert status(pipeline).accounts[0].committed == Decimal(4) == charged(billed)
        assert verdicts(compare_statements(pipeline)["list"]) == {"matched": 2}
        assert status(pipeline).exit_code == 0
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, billed.path)
        rows = query(billed.settings.warehouse_path, "SELECT video_key, units FROM completed_extensions").rows
        assert sorted(row[0] for row in rows) == [f"orphan:k:{foreign['task_id']}", "v000"]


def test_unmatched_tasks_are_only_counted_where_others_use_the_account_too(billed: EngineHome) -> None:
    billed.seeded(1)
    billed.accounts(account(billed.sandbox.base_url, adopt_orphans=False))
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        foreign = billed.sandbox.foreign_task()
        assert {
            name: (result.disagreements, result.others) for name, result in compare_statements(pipeline).items()
        } == {
            "list": ((), 1),
            "billing": ((), 1),
        }
        assert adopted_attempts(pipeline) == []
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="ann") as tx:
            assert not reconciliation.accept(tx, account="k", source="list", task_id=foreign["task_id"], why="bob's")
        assert status(pipeline).exit_code == 0


def test_a_task_from_before_the_first_claim_is_ignored(billed: EngineHome) -> None:
    billed.seeded(1)
    billed.sandbox.foreign_task(age=3 * 86_400)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert {name: verdicts(result) for name, result in compare_statements(pipeline).items()} == {
            "list": {"matched": 1},
            "billing": {"open": 1},  # of today
        }


def test_a_billed_task_that_is_no_extension_is_queried_once(billed: EngineHome) -> None:
    billed.seeded(1)
    with billed.open(JumpClock()) as pipeline:
        drive(pipeline)
        statement = Statement(
            name="billing",
            lines={"771": StatementLine("771", to_micros(Decimal(10)))},  # an image, for example
            from_ms=0,
            to_ms=0,
            complete=True,
        )

        def request_count() -> int:
            return int(billed.sandbox.requests()["total"])

        before = request_count()
        first = reconcile(pipeline, "k", statement)
        assert [item.verdict for item in first.compared if item.task_id == "771"] == [ReconciliationVerdict.OTHER]
        assert request_count() == before + 2  # and for one that is known to exist
        assert reconcile(pipeline, "k", statement).disagreements == ()
        assert request_count() == before + 2
        assert status(pipeline).exit_code == 0
