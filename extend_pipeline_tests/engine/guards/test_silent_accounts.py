"""A provider that takes connections and never replies: two submits are in doubt at most, by however many processes, and
it is asked less and less often until it replies."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from extend_pipeline.base import failpoints
from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.drive import MAX_WAIT_MS, next_wait_ms, rounds
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.leftover_tasks import leftover_tasks
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import accounts_now, status
from extend_pipeline.engine.submit.spool import UnrecordedError
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read.account_totals import account_totals
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS, REPLY_COUNTS_MS, BlockReason
from extend_pipeline.ledger.write import claims
from extend_pipeline.ledger.write.hints import contacts
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    JumpClock,
    account,
    entry,
    eventually,
    source_id,
)
from extend_pipeline_tests.support.ledger.steps import CAPS, NOON, claim, request
from extend_pipeline_tests.support.processes.children import advancing
from extend_pipeline_tests.support.servers.silent import SilentServer

ACCOUNT = "kling-main"


def careful_claim(ledger: Ledger, *videos: str, now_ms: int = NOON) -> list[BlockReason | None]:
    """Claim a hop of each video as the submit stage does; return why each was refused, None where it was claimed."""
    requests = [request(video) for video in videos]
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        result = claims.claim(
            tx,
            requests,
            caps=CAPS,
            owner="me",
            lease_until=now_ms + 180_000,
            max_unanswered=MAX_SILENT_SUBMITS,
        )
    reasons = {refused.request.video_key: refused.reason for refused in result.refused}
    return [reasons.get(video) for video in videos]


def silent(ledger: Ledger, times: int = 1) -> None:
    """Record submits without a reply."""
    with ledger.write(now_ms=NOON, actor="me") as tx:
        contacts.silent_submits(tx, ACCOUNT, times)


def replied(ledger: Ledger, *, now_ms: int = NOON) -> None:
    """Record a reply."""
    with ledger.write(now_ms=now_ms, actor="me") as tx:
        contacts.replied(tx, ACCOUNT)


def test_of_an_account_that_is_not_known_to_reply_two_submits_wait_for_a_reply_at_most(ledger: Ledger) -> None:
    assert careful_claim(ledger, "a", "b", "c") == [None, None, BlockReason.SILENT]
    replied(ledger)
    assert careful_claim(ledger, "c", "d", now_ms=NOON + REPLY_COUNTS_MS - 1) == [None, None]
    assert careful_claim(ledger, "e", now_ms=NOON + REPLY_COUNTS_MS) == [BlockReason.SILENT]
    assert careful_claim(ledger, "e", now_ms=NOON - 3_600_000) == [BlockReason.SILENT]  # a clock that was ahead


def test_a_silent_query_is_enough_for_two_submits_to_wait_for_a_reply(ledger: Ledger) -> None:
    replied(ledger)
    with ledger.write(now_ms=NOON, actor="me") as tx:
        contacts.silent_query(tx, ACCOUNT, gap_ms=lambda _: 1_000, longest_ms=300_000)
    assert careful_claim(ledger, "a", "b", "c") == [None, None, BlockReason.SILENT]
    replied(ledger)
    assert careful_claim(ledger, "c", "d") == [None, None]


def test_after_two_silent_submits_nothing_is_claimed_until_a_reply(ledger: Ledger) -> None:
    claim(ledger, request("first"))  # the account is known
    replied(ledger)
    silent(ledger)
    assert careful_claim(ledger, "a") == [BlockReason.SILENT]  # with the one that is still being sent it would be three
    silent(ledger)
    assert claim(ledger, request("a")).refused[0].reason is BlockReason.SILENT  # the rule, not the count alone
    with ledger.read() as connection:
        assert account_totals(connection, [ACCOUNT], NOON, zone="UTC")[ACCOUNT].silent_submits == 2
    assert check_invariants(ledger) == []  # the same by a replay
    replied(ledger)
    assert careful_claim(ledger, "a", "b", "c") == [None, None, None]
    assert check_invariants(ledger) == []


def test_processes_that_claim_at_once_send_two_together(ledger_url: str) -> None:
    opened = [open_ledger(ledger_url) for _ in range(4)]
    try:
        ready = threading.Barrier(len(opened))
        taken: list[BlockReason | None] = []

        def take(number: int) -> None:
            ready.wait()
            taken.extend(careful_claim(opened[number], f"a{number}", f"b{number}"))

        threads = [threading.Thread(target=take, args=(number,)) for number in range(len(opened))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken, key=str) == [None] * 2 + [BlockReason.SILENT] * 6
    finally:
        for ledger in opened:
            ledger.close()


def test_a_silent_account_has_two_doubts_and_few_questions_and_goes_on_when_it_replies(
    home: EngineHome, silent_url: str
) -> None:
    write_six(home, silent_url)
    home.options |= {"get_deadline_s": 0.2, "post_deadline_s": 0.3}
    clock = JumpClock()
    with home.open(clock) as first, home.open(clock, owner="another:1:1") as second:
        asked = [silence_of(first)]
        for _ in range(4):
            for pipeline in (first, second):
                now = advance(pipeline, publish=False)
                clock.skip(min(next_wait_ms(pipeline, now) or 0, MAX_WAIT_MS))
            asked.append(silence_of(first))
        assert in_doubt(first) == MAX_SILENT_SUBMITS
        assert {video.blocker.reason for video in now.plan.videos if video.blocker} >= {BlockReason.SILENT}
        (account_now,) = accounts_now(first)
        assert (account_now.silent_submits, account_now.asked_at_ms is not None) == (2, True)
        assert account_now.silent_queries > 0
        assert asked == sorted(asked)
        clock.skip(3_600_001)  # none of the doubts was looked up, and a person should know of them all the same
        (reason,) = {video.blocker.reason for video in status(first).plan.needs_person if video.blocker}
        assert reason is BlockReason.IN_DOUBT
        home.accounts(account(home.sandbox.base_url))  # it replies again
        for _ in range(60):
            now = advance(first, publish=False)
            if (wait := next_wait_ms(first, now)) is None:
                break
            clock.skip(wait if wait < MAX_WAIT_MS else 60_000)
        (account_now,) = accounts_now(first)
        assert (account_now.silence, account_now.silent_submits) == ("", 0)
        assert len(home.sandbox.tasks()) >= 4
        assert check_invariants(first.ledger) == []


def test_submits_that_wait_for_a_reply_when_their_process_is_killed_count(
    home: EngineHome, silent_server: SilentServer
) -> None:
    write_six(home, silent_server.url)
    home.options |= {"get_deadline_s": 0.2, "post_deadline_s": 30.0, "lease_s": 60.0}
    settings = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    victim = advancing(settings, home.path / "victim.txt", confined=False)
    eventually(lambda: silent_server.posts == MAX_SILENT_SUBMITS)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    clock = JumpClock()
    with home.open(clock) as pipeline:
        for _ in range(3):
            now = advance(pipeline, publish=False)
            clock.skip(MAX_WAIT_MS)
        assert (silent_server.posts, in_doubt(pipeline)) == (MAX_SILENT_SUBMITS, MAX_SILENT_SUBMITS)
        assert [account_now.silent_submits for account_now in accounts_now(pipeline)] == [MAX_SILENT_SUBMITS]
        assert {video.blocker.reason for video in now.plan.videos if video.blocker} >= {BlockReason.SILENT}
        home.accounts(account(home.sandbox.base_url))  # it replies again
        clock.skip(300_001)
        assert advance(pipeline, publish=False).submitted.posts == 4
        assert [account_now.silent_submits for account_now in accounts_now(pipeline)] == [0]
        assert check_invariants(pipeline.ledger) == []


def test_submits_whose_silence_could_not_be_recorded_count(home: EngineHome, silent_server: SilentServer) -> None:
    write_six(home, silent_server.url)
    home.options |= {"get_deadline_s": 0.2, "post_deadline_s": 0.3}
    clock = JumpClock()
    with home.open(clock) as pipeline:
        failpoints.arm("submit.before_outcome=raise")
        with pytest.raises(UnrecordedError):
            advance(pipeline, publish=False)
        failpoints.disarm()
        clock.skip(10_000)  # past the leases
        for _ in range(2):
            advance(pipeline, publish=False)
        assert (silent_server.posts, in_doubt(pipeline)) == (MAX_SILENT_SUBMITS, MAX_SILENT_SUBMITS)
        assert [account_now.silent_submits for account_now in accounts_now(pipeline)] == [MAX_SILENT_SUBMITS]


def write_six(home: EngineHome, url: str) -> None:
    """Plant six sources, and write a home that extends each through an account at `url`."""
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(6)])
    home.write([entry(f"v{number}", source_id(number)) for number in range(6)], account(url))


def silence_of(pipeline: Pipeline) -> int:
    """How many queries in a row had no reply."""
    (account_now,) = accounts_now(pipeline)
    return account_now.silent_queries


def in_doubt(pipeline: Pipeline) -> int:
    """How many attempts are in doubt."""
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        count = select(func.count()).select_from(table).where(table.c.state == "in_doubt")
        return int(connection.execute(count).scalar_one())


def lingering(pipeline: Pipeline) -> float:
    """Return how many seconds a run takes that ends when nothing is due within five seconds, and after ten at most."""
    began = time.monotonic()
    for _ in rounds(pipeline, linger_s=5, max_seconds=10):
        pass
    return time.monotonic() - began


def test_a_run_does_not_linger_for_the_tasks_of_an_account_that_does_not_reply(home: EngineHome) -> None:
    home.seeded(1)
    with home.open() as pipeline:
        declare_catalogue(pipeline)
        assert submit_due(pipeline, plan(plan_input(pipeline))).accepted == ["v000/1"]
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="me") as tx:
            contacts.silent_query(tx, "k", gap_ms=lambda _: 300_000, longest_ms=300_000)
        assert lingering(pipeline) < 5


def test_a_run_does_not_linger_for_a_late_task_whose_video_has_left_the_catalogue(
    make_home: Callable[..., EngineHome],
) -> None:
    home, clock = make_home(run_time=(3_600, 3_600)), JumpClock()
    entries = home.seeded(2)
    entries[1]["account"] = "far"
    url = home.sandbox.base_url
    home.write(entries, account(url, patience=60), account(url, "far", poll={"first_after": 900, "every": 900}))
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        assert len(submit_due(pipeline, plan(plan_input(pipeline))).accepted) == 2
        clock.skip(120_000)
        home.catalogue(entries[1:])
        assert lingering(pipeline) < 5
        assert [task.video_key for task in leftover_tasks(pipeline)] == ["v000"]
