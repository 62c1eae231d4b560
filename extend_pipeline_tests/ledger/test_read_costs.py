"""Reads that are made all the time go by an index to what is open, and not through everything that ever finished."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
from sqlalchemy import Connection

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read import budget_days, declared_keys, open_work, queries, reconciliation_queries
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.ledger.write import claims, files
from extend_pipeline.ledger.write.hints import job_queue, webhook_inbox
from extend_pipeline.ledger.write.hints.job_queue import MaxWaits
from extend_pipeline.ledger.write.hints.webhook_inbox import ENDED
from extend_pipeline.ledger.write.renames_and_choices import bought
from extend_pipeline_tests.support.ledger.plans import query_plans, recorded
from extend_pipeline_tests.support.ledger.steps import CAPS, NOON, claim, request

ACCOUNT = "kling-main"
BY_ACCOUNT_AND_TASK = re.compile(r"\(account=\? AND task_id=\?\)|\(account = .*\) AND \(task_id = ")

BY_INDEX: dict[str, tuple[Callable[[Connection], object], str]] = {
    "attempts of a video": (lambda c: queries.attempts_of(c, ["v1", "v2"]), "ix_attempts_video_key_hop"),
    "unfinished videos": (lambda c: queries.videos(c, unfinished=True), "ix_videos_state_video_key"),
    "unknown kind": (lambda c: queries.of_unknown_kind(c, [ACCOUNT]), "ix_attempts_unknown_kind"),
    "adopted": (reconciliation_queries.adopted_not_stored, "ix_attempts_adopted"),
    "disagreements": (reconciliation_queries.disagreements, "ix_reconciliations_verdict"),
    "known task": (lambda c: queries.known_task(c, ACCOUNT, at_least_ms=0), "ix_attempts_account_claimed_at"),
    "known key": (lambda c: queries.known_key(c, ACCOUNT, at_least_ms=0), "ix_attempts_account_claimed_at"),
    "first claim": (lambda c: reconciliation_queries.first_claim(c, ACCOUNT), "ix_attempts_account_claimed_at"),
    "live": (lambda c: queries.attempts_in(c, LIVE), "ix_attempts_state"),
    "awaited": (queries.awaited, "ix_attempts_state"),
    "running videos": (open_work.running_videos, "ix_attempts_state"),
    "paid tasks": (lambda c: open_work.paid_tasks(c, before_ms=NOON), "ix_attempts_state"),
    "unmeasured": (lambda c: open_work.unmeasured(c, providers=["luma"], keys=None), "ix_videos_state_video_key"),
    "in doubt": (lambda c: queries.predicted_in(c, (AttemptState.IN_DOUBT,)), "ix_attempts_state"),
    "open accounts": (queries.open_accounts, "ix_attempts_state"),
    "unscheduled": (lambda c: job_queue.unscheduled(c, LIVE), "ix_attempts_state"),
    "withdrawn with many": (declared_keys.withdrawn_with_many, "ix_videos_withdrawn_with_many"),
    "bought": (lambda c: bought(c, ["a purchase"]), "ix_attempts_purchase"),
    "named elsewhere": (lambda c: webhook_inbox.named_elsewhere(c, ACCOUNT, "task-1", than="a"), "ix_inbox_task_id"),
}


@pytest.mark.parametrize("name", BY_INDEX)
def test_it_is_read_by_its_index(name: str, ledger: Ledger) -> None:
    read, index = BY_INDEX[name]
    (plan,) = query_plans(ledger, read)
    assert index in plan


def test_the_other_accounts_attempts_of_a_task_are_read_by_account_and_task(ledger: Ledger) -> None:
    claim(ledger, request())
    *_, plan = query_plans(
        ledger, lambda c: reconciliation_queries.holders_elsewhere(c, "another", "kling", ["task-1", "task-2"])
    )
    by_index = plan.partition("ux_attempts_task")[2]
    assert BY_ACCOUNT_AND_TASK.search(by_index), plan


def test_the_files_of_a_folder_are_read_by_their_folders(ledger: Ledger) -> None:
    plans = query_plans(ledger, lambda c: files.hashes_in(c, "ab"))
    indexes = ("ix_attempts_file_folder", "ix_attempts_film_folder", "ix_videos_source_folder")
    assert [index in plan for index, plan in zip(indexes, plans, strict=True)] == [True] * 3


def test_the_units_of_today_are_read_by_account_and_day(ledger: Ledger) -> None:
    (plan,) = query_plans(ledger, lambda c: budget_days.committed(c, NOON, zone="UTC", accounts=[ACCOUNT]))
    assert "account_days" in plan
    assert "account" in plan.split("account_days", 2)[-1]


@pytest.mark.parametrize("states", [(AttemptState.SUCCEEDED,), sorted(ENDED), (AttemptState.IN_DOUBT,)])
def test_what_is_due_is_read_from_the_schedule(states: Iterable[AttemptState], ledger: Ledger) -> None:
    waits = {ACCOUNT: MaxWaits(1, 1)}
    with recorded(ledger) as statements:
        job_queue.has_due(ledger, now_ms=NOON, states=list(states), accounts=waits)
    text, values = next(statement for statement in statements if "schedule" in statement[0])
    (plan,) = query_plans(ledger, lambda connection: connection.exec_driver_sql(text, values))
    assert_by_key(plan)


@pytest.mark.parametrize("videos", [None, ["v1"], [f"v{number}" for number in range(100_000)]])
def test_the_accounts_with_due_work_are_read_from_the_schedule(videos: list[str] | None, ledger: Ledger) -> None:
    (plan,) = query_plans(ledger, lambda c: job_queue.read_queue(c, now_ms=NOON, videos=videos))
    assert_by_key(plan)


def test_without_an_account_nothing_is_read(ledger: Ledger) -> None:
    with recorded(ledger) as statements, ledger.read() as connection:
        assert not job_queue.has_due(ledger, now_ms=NOON, states=list(LIVE), accounts={})
        assert queries.of_unknown_kind(connection, []) == []
    assert not [text for text, _ in statements if "attempts" in text]


def test_the_schedule_of_videos_is_read_from_the_schedule(ledger: Ledger) -> None:
    (plan,) = query_plans(ledger, lambda c: queries.next_look(c, accounts=[ACCOUNT]))
    assert_by_key(plan)


def test_a_result_that_the_disk_did_not_take_is_read_from_the_schedule(ledger: Ledger) -> None:
    (plan,) = query_plans(ledger, lambda c: job_queue.first_without_room(c, [ACCOUNT]))
    assert_by_key(plan)


def assert_by_key(plan: str) -> None:
    """Assert that attempts are looked up by their id, and not by state, account or video."""
    assert "sqlite_autoindex_attempts_1" in plan or "pk_attempts" in plan or "attempts_pkey" in plan
    assert "ix_attempts" not in plan


def test_a_claim_reads_the_totals_of_its_account_once(ledger: Ledger) -> None:
    def statements_of(count: int, name: str) -> list[str]:
        wave = [request(f"{name}{number}") for number in range(count)]
        with recorded(ledger) as statements, ledger.write(now_ms=NOON, actor="me") as tx:
            result = claims.claim(tx, wave, caps=CAPS, owner="me", lease_until=NOON)
        assert len(result.claimed) == count
        return [text for text, _ in statements if text.startswith("SELECT")]

    one, five = statements_of(1, "a"), statements_of(5, "b")
    assert sum("predicted_micros" in text and "sum" in text for text in one) == 1
    assert sum("predicted_micros" in text and "sum" in text for text in five) == 1


def test_a_claim_looks_at_its_own_video_alone(ledger: Ledger) -> None:
    wanted = request("harbour", purchase="p" * 64, must_be_declared=True)
    with recorded(ledger) as statements, ledger.write(now_ms=NOON, actor="me") as tx:
        claims.claim(tx, [wanted], caps=CAPS, owner="me", lease_until=NOON)
    reads = [(text, values) for text, values in statements if text.startswith("SELECT")]
    of_many = [(text, values) for text, values in reads if "FROM attempts" in text or "FROM videos" in text]
    plans = query_plans(ledger, lambda c: [c.exec_driver_sql(text, values) for text, values in of_many])
    assert len(plans) == len(of_many) > 0
    assert not [plan for plan in plans if "SCAN" in plan or "Seq Scan" in plan]
