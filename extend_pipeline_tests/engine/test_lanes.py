"""Four accounts at once: one that never replies, one whose films come slowly, one whose third calls fail, and one that
is whole. The whole one finishes as if it were alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.base import failpoints
from extend_pipeline.base.failpoints import FailpointError
from extend_pipeline.engine.advance import Round, declare_catalogue
from extend_pipeline.engine.dispatch import Dispatcher, share
from extend_pipeline.engine.drive import MIN_WAIT_MS, advance_until_idle, rounds
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.lanes import Lane, Lanes, Stage, Stop
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.submit.submit import SubmitReport, submit_due
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS, BlockReason
from extend_pipeline.ledger.write.claims import ClaimRefused
from extend_pipeline.ledger.write.hints import contacts
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, entry, eventually, source_id
from extend_pipeline_tests.support.ledger.steps import CAPS, claim, request, send

HOPS = 3
VIDEOS = 4
SLOW_S = 3.0  # a film of the slow account


def plant(sandbox: SandboxHandle, name: str, first: int) -> list[dict[str, Any]]:
    """Plant the sources of an account; return its entries."""
    numbers = range(first, first + VIDEOS)
    sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in numbers])
    # sandboxes count their videos alike, so that two accounts would seem to buy the same
    again = {"again": True}
    return [entry(f"{name}-{number}", source_id(number), account=name, steps=HOPS) | again for number in numbers]


def states(pipeline: Pipeline) -> Counter[tuple[str, str]]:
    """Count the attempts by account and state."""
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        return Counter((row.account, row.state) for row in connection.execute(select(table.c.account, table.c.state)))


def test_no_account_waits_for_another(home: EngineHome, make_home: Callable[..., EngineHome], silent_url: str) -> None:
    slow, faulty = make_home("slow").sandbox, make_home("faulty").sandbox
    entries = [
        *plant(home.sandbox, "silent", 0),
        *plant(slow, "slow", 10),
        *plant(faulty, "faulty", 20),
        *plant(home.sandbox, "whole", 30),
    ]
    slow.faults([{"kind": "timeout_before", "where": "download", "times": 99, "hold": SLOW_S}])
    faulty.faults([{"kind": "5xx_before", "where": "query", "skip": skip} for skip in range(2, 60, 3)])
    home.write(
        entries,
        account(silent_url, "silent"),
        account(slow.base_url, "slow"),
        account(faulty.base_url, "faulty"),
        account(home.sandbox.base_url, "whole"),
    )
    home.options |= {"post_deadline_s": 2.0, "lease_s": 7.5, "get_deadline_s": 1.0, "download_silence_s": 9.0}
    stop = threading.Event()
    seen: list[Counter[tuple[str, str]]] = []
    with home.open() as pipeline:

        def look(_now: Round) -> None:
            seen.append(states(pipeline))
            if seen[-1]["whole", "stored"] == VIDEOS * HOPS and seen[-1]["faulty", "stored"] == VIDEOS * HOPS:
                stop.set()

        advance_until_idle(pipeline, max_seconds=90, on_round=look, stop=stop)
        at_the_end = states(pipeline)
        assert at_the_end["whole", "stored"] == at_the_end["faulty", "stored"] == VIDEOS * HOPS
        assert at_the_end["slow", "stored"] < VIDEOS * HOPS
        assert max(counted["silent", "in_doubt"] for counted in seen) == MAX_SILENT_SUBMITS
        # nothing is left as being sent, and no lease is held after an orderly end
        assert not {state for _, state in at_the_end} & {"claimed", "sending"}
        with pipeline.ledger.read() as connection:
            assert set(connection.execute(select(tables.schedule.c.owner)).scalars()) <= {""}
        assert check_invariants(pipeline.ledger) == []


def test_an_error_in_a_lane_ends_the_drive_when_what_was_sent_is_recorded(home: EngineHome) -> None:
    home.seeded(4)
    failpoints.arm("collect.before_stored=raise")
    try:
        with home.open() as pipeline:
            with pytest.raises(FailpointError):
                advance_until_idle(pipeline, max_seconds=30)
            failpoints.arm("")
            assert not {state for _, state in states(pipeline)} & {"claimed", "sending"}
            advance_until_idle(pipeline, max_seconds=30)
            assert states(pipeline) == {("k", "stored"): 4}
    finally:
        failpoints.arm("")


def test_a_drive_that_is_stopped_ends_with_a_plan_of_what_there_is(home: EngineHome) -> None:
    home.seeded(3)
    stop = threading.Event()
    with home.open() as pipeline:
        yielded = []
        for now in rounds(pipeline, stop=stop):
            yielded.append(now)
            stop.set()
        assert len(yielded) == 2  # the one that began the work, and the one after what was under way had ended
        assert sum(now.submitted.posts for now in yielded) == len(home.sandbox.tasks())


def test_a_step_that_is_due_when_the_time_is_up_is_not_bought(home: EngineHome) -> None:
    """It becomes due in the wait whose end is the end of the time."""
    home.account = {"poll": {"first_after": 60, "every": 60}}
    entries = home.seeded(2)
    home.catalogue(entries[:1])

    class Adding(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            if timeout is not None and timeout * 1000 > MIN_WAIT_MS:  # not the short wait after news
                home.catalogue(entries)
            return super().wait(timeout)

    with home.open() as pipeline:
        declare_catalogue(pipeline)
        assert submit_due(pipeline, plan(plan_input(pipeline))).accepted == ["v000/1"]
        made = list(rounds(pipeline, max_seconds=1.0, stop=Adding()))
        assert [video.key for video in made[-1].plan.videos if video.due] == ["v001"]
        assert len(home.sandbox.tasks()) == 1


def test_the_submits_under_way_end_with_their_wave_when_the_time_is_up(
    home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.options["max_submits"] = 2
    home.seeded(8)
    with home.open() as pipeline:
        provider, began = pipeline.provider("k"), time.monotonic()
        submit = provider.submit

        def submit_late(*arguments: Any) -> Any:
            eventually(lambda: time.monotonic() > began + 1.8)
            return submit(*arguments)

        monkeypatch.setattr(provider, "submit", submit_late)
        made = list(rounds(pipeline, max_seconds=1.5))
        assert sum(now.submitted.posts for now in made) == len(home.sandbox.tasks()) == 2
        assert not {state for _, state in states(pipeline)} & {"claimed", "sending"}


def test_a_claim_that_waits_for_the_replies_of_another_process_is_tried_once_a_second(home: EngineHome) -> None:
    home.seeded(3)
    with home.open() as pipeline:
        now_ms, another = pipeline.now_ms(), "another:1:1"
        sent = [request(f"other-{number}", account="k") for number in range(MAX_SILENT_SUBMITS)]
        claim(pipeline.ledger, *sent, now_ms=now_ms, owner=another, caps={"k": CAPS["kling-main"]})
        for each in sent:
            assert isinstance(send(pipeline.ledger, each.attempt_id, now_ms=now_ms, owner=another), Moved)
        made = list(rounds(pipeline, max_seconds=3.0))
        refused = [refusal.reason for now in made for refusal in now.submitted.refused]
        assert set(refused) == {BlockReason.SILENT}
        assert 2 <= len(refused) // 3 <= 5  # claims of three steps each
        assert len(made) <= 12
        assert home.sandbox.tasks() == []
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=another) as tx:
            contacts.replied(tx, "k")
        posts = 0
        for now in rounds(pipeline, max_seconds=20):
            if (posts := posts + now.submitted.posts) == 3:
                break
        assert len(home.sandbox.tasks()) == 3


@pytest.mark.parametrize(("reason", "is_planned"), [(BlockReason.CHANGED, True), (BlockReason.SILENT, False)])
def test_a_refused_claim_is_planned_anew_where_another_plan_shows_something_else(
    reason: BlockReason, is_planned: bool, home: EngineHome
) -> None:
    home.write([])
    report = SubmitReport(refused=[ClaimRefused(request(), reason)])
    with home.open() as pipeline, Lanes(Stop(threading.Event())) as lanes:
        dispatcher = Dispatcher(pipeline, lanes, videos=None, gap_s=0.0, shown=0)
        dispatcher.plan()
        lanes.start(Lane(Stage.SUBMIT, "k"), lambda: report)
        assert dispatcher.work() is is_planned


def test_lanes_raise_the_first_error_after_every_job_has_ended() -> None:
    release, ended = threading.Event(), threading.Event()

    def fail() -> None:
        raise LookupError

    def finish() -> None:
        release.wait(10)
        ended.set()

    with Lanes(Stop(threading.Event())) as lanes:
        lanes.start(Lane(Stage.SUBMIT, "a"), finish)
        lanes.start(Lane(Stage.POLL, "b"), fail)
        lanes.wait(10)
        release.set()
        with pytest.raises(LookupError):
            list(lanes.reports())
        assert ended.is_set()
        assert not lanes.is_busy


def test_the_last_reports_stop_jobs_that_would_go_on() -> None:
    with Lanes(Stop(threading.Event())) as lanes:
        lanes.start(Lane(Stage.PREPARE, "a"), lambda: lanes.stop.wait(10))
        assert [stopped for _, stopped in lanes.reports(of_all=True)] == [True]


def test_a_lane_says_how_many_jobs_run_for_so_long() -> None:
    release = threading.Event()
    with Lanes(Stop(threading.Event())) as lanes:
        lanes.start(Lane(Stage.FETCH, "a"), release.wait)
        assert lanes.running(Lane(Stage.FETCH, "a")) == 1
        assert lanes.running(Lane(Stage.FETCH, "b")) == 0
        assert lanes.running(Lane(Stage.FETCH, "a"), longer_than_s=3_600) == 0
        release.set()


@pytest.mark.parametrize(("total", "accounts", "each"), [(4, 0, 4), (4, 1, 4), (4, 3, 2), (4, 9, 1), (1, 2, 1)])
def test_downloads_are_shared_by_the_accounts_that_have_some(total: int, accounts: int, each: int) -> None:
    assert share(total, accounts) == each
