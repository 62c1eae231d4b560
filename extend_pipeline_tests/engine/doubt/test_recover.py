"""Claims of ended processes are released, their sends are put in doubt, and living processes are left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.doubt.recover import recover, recover_home
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.home import Pipeline, owner_is_gone, process_name
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import accounts_now
from extend_pipeline.engine.submit.prepare import claim_request
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS, BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import claims, transitions
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive, eventually
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.processes.children import advancing

ELSEWHERE = "another-host:77:123"
LEASE_MS = 60_000


def claimed_by(pipeline: Pipeline, owner: str, *, sending: bool) -> str:
    """Claim the first due step for an owner, and mark it as sending if `sending`; return the attempt's id."""
    declare_catalogue(pipeline)
    step = plan(plan_input(pipeline)).due[0]
    request = claim_request(pipeline, step)
    now_ms = pipeline.now_ms()
    until = now_ms + LEASE_MS
    with pipeline.ledger.write(now_ms=now_ms, actor=owner) as tx:
        assert claims.claim(tx, [request], caps=pipeline.budget_limits(), owner=owner, lease_until=until).claimed
        if sending:
            transitions.mark_sending(tx, request.attempt_id, owner=owner, lease_until=until)
    return request.attempt_id


def state_of(pipeline: Pipeline, attempt_id: str) -> str:
    with pipeline.ledger.read() as connection:
        table = tables.attempts
        return str(connection.execute(select(table.c.state).where(table.c.attempt_id == attempt_id)).scalar_one())


@pytest.mark.parametrize(("sending", "after"), [(False, "released"), (True, "in_doubt")])
def test_an_expired_lease_releases_a_claim_and_puts_a_send_in_doubt(
    sending: bool, after: str, home: EngineHome
) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        attempt_id = claimed_by(pipeline, ELSEWHERE, sending=sending)
        home.sandbox.faults([{"kind": "html", "where": "query", "times": 99}])
        clock.skip(LEASE_MS - 5_000)
        assert recover(pipeline).released == []
        assert state_of(pipeline, attempt_id) == ("sending" if sending else "claimed")
        clock.skip(5_000)
        report = recover(pipeline)
        assert (report.released, report.put_in_doubt) == (([], ["v000/1"]) if sending else (["v000/1"], []))
        assert state_of(pipeline, attempt_id) == after
        assert recover(pipeline).released == []
        assert reckon(home, pipeline.ledger).charges == 0


def ended_process() -> str:
    """Return the name of a process on this host that has ended."""
    code = "from extend_pipeline.engine.home import process_name; print(process_name())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return output.stdout.strip()


@pytest.mark.parametrize(("sending", "after"), [(False, "released"), (True, "in_doubt")])
def test_an_ended_owner_on_this_host_is_not_waited_for(sending: bool, after: str, home: EngineHome) -> None:
    home.seeded(1)
    with home.open() as pipeline:
        attempt_id = claimed_by(pipeline, ended_process(), sending=sending)
        home.sandbox.faults([{"kind": "html", "where": "query", "times": 99}])
        recover(pipeline)
        assert state_of(pipeline, attempt_id) == after


@pytest.mark.parametrize(("provider", "paid"), [("kling", 4), ("kling-gateway", 2)])
def test_sends_of_ended_processes_block_an_account_until_its_next_reply(
    provider: str, paid: int, home: EngineHome
) -> None:
    home.seeded(4) if provider == "kling" else other_home(home, provider, 4)
    with home.open() as pipeline:
        ended = ended_process()
        for _ in range(MAX_SILENT_SUBMITS):
            claimed_by(pipeline, ended, sending=True)
        assert len(recover_home(pipeline).put_in_doubt) == MAX_SILENT_SUBMITS
        assert accounts_now(pipeline)[0].silent_submits == MAX_SILENT_SUBMITS
        blockers = [video.blocker.reason for video in plan(plan_input(pipeline)).videos if video.blocker]
        assert blockers.count(BlockReason.SILENT) == 2
        # a free query is sent to any account, so that one without look-ups by key goes on; driven until all is paid,
        # because a look-up before the account's first task proves nothing, and no drive waits for the next one
        eventually(lambda: advance_until_idle(pipeline) and reckon(home, pipeline.ledger).charges == paid)
        assert accounts_now(pipeline)[0].silent_submits == 0
        assert check_invariants(pipeline.ledger) == []


def test_an_owner_that_runs_or_may_run_is_left_alone(home: EngineHome) -> None:
    home.seeded(3)
    living = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from extend_pipeline.engine.home import process_name as n; print(n(), flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert living.stdin is not None
    assert living.stdout is not None
    try:
        owner = living.stdout.readline().strip()
        assert owner_is_gone(owner) is False
        with home.open() as pipeline:
            attempt_ids = [claimed_by(pipeline, claimant, sending=True) for claimant in (owner, ELSEWHERE, "nonsense")]
            recover(pipeline)
            assert [state_of(pipeline, attempt_id) for attempt_id in attempt_ids] == ["sending"] * 3
            living.communicate("\n")
            recover(pipeline)
            states = [state_of(pipeline, attempt_id) for attempt_id in attempt_ids]
            assert states[0] != "sending"
            assert states[1:] == ["sending", "sending"]
    finally:
        living.kill()
        living.wait()


def test_a_reused_process_id_is_another_owner() -> None:
    host, pid, started = process_name().split(":")
    assert (pid, owner_is_gone(f"{host}:{pid}:{started}")) == (str(os.getpid()), False)
    assert owner_is_gone(f"{host}:{pid}:{int(started) - 1}") is True
    assert owner_is_gone(f"other-{host}:{pid}:1") is False
    assert owner_is_gone(f"{host}:{pid}") is False


def child_settings(home: EngineHome) -> dict[str, Any]:
    return {"home": home.path, "ledger_url": home.ledger_url, **home.options}


def test_a_process_that_slept_past_its_lease_sends_nothing_when_it_wakes(home: EngineHome) -> None:
    home.seeded(2)
    sleeper = advancing(
        child_settings(home), home.path / "sleeper.txt", points="submit.before_sending=pause", once=True
    )
    try:
        eventually(lambda: sleeper.is_stopped)
        assert home.sandbox.charges()["charges"] == []
        clock = JumpClock(int(home.options["lease_s"] * 1000) + 500)
        with home.open(clock) as pipeline:
            assert sorted(recover(pipeline).released) == ["v000/1", "v001/1"]
            assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
            sleeper.go_on()
            assert sleeper.wait() == 0, sleeper.output_text
            totals = reckon(home, pipeline.ledger)
            with pipeline.ledger.read() as connection:
                table = tables.events
                senders = connection.execute(select(table.c.actor).where(table.c.kind == "attempt_sending")).scalars()
                assert set(senders) == {pipeline.owner}
    finally:
        os.kill(sleeper.pid, signal.SIGCONT) if sleeper.process.is_alive() else None
    assert totals.charges == 2
    assert totals.states == {"stored": 2, "released": 2}


def test_a_response_after_its_send_was_put_in_doubt_still_counts(home: EngineHome) -> None:
    home.seeded(1)
    sleeper = advancing(child_settings(home), home.path / "sleeper.txt", points="submit.after_post=pause", once=True)
    try:
        eventually(lambda: sleeper.is_stopped)
        clock = JumpClock(int(home.options["lease_s"] * 1000) + 500)
        home.sandbox.faults([{"kind": "html", "where": "query"}] * 4)
        with home.open(clock) as pipeline:
            assert recover(pipeline).put_in_doubt == ["v000/1"]
            sleeper.go_on()
            assert sleeper.wait() == 0, sleeper.output_text
            assert drive(pipeline).videos[0].state is VideoState.COMPLETE
            totals = reckon(home, pipeline.ledger)
    finally:
        os.kill(sleeper.pid, signal.SIGCONT) if sleeper.process.is_alive() else None
    assert (totals.charges, totals.states) == (1, {"stored": 1})


def test_a_round_without_submits_submits_nothing(home: EngineHome) -> None:
    home.seeded(2)
    with home.open() as pipeline:
        looked = advance(pipeline, submit=False, publish=False)
        assert len(looked.plan.due) == 2
        assert home.sandbox.charges()["charges"] == []
