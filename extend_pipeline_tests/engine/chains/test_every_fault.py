"""Every fault of the sandbox, one kind after another: each video reaches its target or names what must be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from extend_pipeline.config.load import load_configuration
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.poll import poll_due
from extend_pipeline.engine.status import status
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import controls
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.sandbox.faults.kinds import REFUSALS as REFUSALS_IN_WORDS
from extend_pipeline.sandbox.faults.kinds import RULES
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive, entry, source_id
from extend_pipeline_tests.support.ledger.reckoning import Reckoning, reckon, replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text

ACCOUNT_CODES = (1000, 1001, 1002, 1100, 1101, 1102, 1103, 1304)
REFUSALS = (1200, 1201, 1202, 1203, 1300, 1301)
OF_OTHER_PROVIDERS = {
    "two_documents",
    "expire_task",
    "unknown_state",
    "wrapped_failure",
    "odd_deduction",
    *REFUSALS_IN_WORDS,
}
BOTH_SIDES = ("html", "not_json", "empty_body")
DEADLINES = {"post_deadline_s": 1.0, "lease_s": 6.5, "get_deadline_s": 1.0, "download_silence_s": 2.0}


def orders_of(place: str) -> list[dict[str, Any]]:
    """Return an order of every kind that can strike at a place, both sides where there are two."""
    kinds = sorted(kind for kind, rule in RULES.items() if place in rule.places and kind not in OF_OTHER_PROVIDERS)
    sided = [(kind, after) for kind in kinds for after in ((False, True) if kind in BOTH_SIDES else (None,))]
    if place == "download":
        sided = [(kind, None) for kind in kinds]
    return [{"kind": kind, "where": place} | ({} if after is None else {"after": after}) for kind, after in sided]


@dataclass
class Trial:
    """A home in which one kind of fault after another strikes, each on a video of its own."""

    home: EngineHome
    pipeline: Pipeline
    clock: JumpClock
    entries: list[dict[str, Any]] = field(default_factory=list)

    def video(self, **extend: Any) -> str:
        """Add a video to the catalogue; return its key."""
        number = len(self.entries)
        self.home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0}])
        self.entries.append(entry(f"v{number:03}", source_id(number), **extend))
        self.home.catalogue(self.entries)
        self.pipeline.configuration = load_configuration(self.pipeline.settings, PROVIDERS, now=self.pipeline.now())
        return str(self.entries[-1]["key"])

    def outcome(self, key: str) -> VideoPlan:
        """Advance until idle; return the video's plan."""
        drive(self.pipeline)
        return self.plan_of(key)

    def plan_of(self, key: str) -> VideoPlan:
        """Return the video's plan."""
        return next(video for video in plan(plan_input(self.pipeline)).videos if video.key == key)

    def strike(self, *orders: dict[str, Any]) -> VideoPlan:
        """Let faults strike a new video; assert that each did strike, and return the video's plan."""
        self.home.sandbox.clear_faults()
        self.home.sandbox.faults(list(orders))
        video_plan = self.outcome(self.video())
        unused = [order["kind"] for order in self.home.sandbox.faults() if not order["fired"]]
        assert unused == [], f"{unused} never struck"
        return video_plan

    def resume(self) -> None:
        """Resume the account, as an operator does after fixing what had stopped it."""
        with self.pipeline.ledger.write(now_ms=self.clock(), actor="ann") as tx:
            controls.resume(tx, "k", why="fixed")

    def reckon(self) -> Reckoning:
        """Check everything that must hold, and return the totals."""
        return reckon(self.home, self.pipeline.ledger)


@contextmanager
def trial(home: EngineHome, clock: JumpClock | None = None) -> Iterator[Trial]:
    home.options.update(DEADLINES)
    home.seeded(1, first=999)
    chosen = clock or JumpClock()
    with home.open(chosen) as pipeline:
        drive(pipeline)  # one task that is known, so that "no such task" proves something
        yield Trial(home, pipeline, chosen, [entry("v999", source_id(999))])


def needs_person(trial: Trial, video: VideoPlan, reason: BlockReason) -> None:
    """Assert that the operator sees the reason and what to do."""
    assert video.blocker is not None
    assert video.blocker.reason is reason, video.blocker
    assert video.blocker.todo
    assert len(video.blocker.message) > 20
    assert video.state is VideoState.BLOCKED
    assert status(trial.pipeline).exit_code == 1


def test_no_fault_at_a_submit_is_paid_twice(make_home: Callable[..., EngineHome]) -> None:
    outcomes: dict[str, int] = {}
    with trial(make_home()) as t:
        for order in orders_of("submit"):
            kind = order["kind"]
            video = t.strike(order)
            code = int(kind.rpartition("_")[2]) if kind.startswith("code_1") else None
            if code in ACCOUNT_CODES:
                needs_person(t, video, BlockReason.ACCOUNT_STOPPED)
                t.resume()
                video = t.outcome(video.key)
            elif code in REFUSALS or kind == "fail_task":
                needs_person(t, video, BlockReason.FAILED if kind == "fail_task" else BlockReason.REJECTED)
                resolution = resolve.resubmit(t.pipeline, f"{video.key}/1", who="ann", why="it was a test")
                assert isinstance(resolution, resolve.Resolved), (kind, resolution)
                video = t.outcome(video.key)
            assert video.state is VideoState.COMPLETE, (order, video.blocker)
            assert t.home.sandbox.charges()["double"] == [], order
            outcomes[kind] = outcomes.get(kind, 0) + 1
        totals = t.reckon()
        assert status(t.pipeline).exit_code == 0
        assert replays_to_the_same(t.pipeline.ledger, t.home.path) > 200
    assert sum(outcomes.values()) >= 38
    assert totals.states["stored"] == sum(outcomes.values()) + 1
    assert totals.charges == totals.states["stored"] + 1  # the failed task was charged and refunded


def test_no_fault_at_a_query_loses_the_paid_film(make_home: Callable[..., EngineHome]) -> None:
    struck = 0
    with trial(make_home()) as t:
        for order in orders_of("query"):
            # more often than a query is repeated; one silence takes the whole deadline of a query
            silent = order["kind"].startswith(("timeout", "slow"))
            video = t.strike({**order, "times": 1 if silent else 4})
            assert video.state is VideoState.COMPLETE, (order, video.blocker)
            account = status(t.pipeline).accounts[0]
            if account.stopped is not None:
                assert order["kind"].startswith(("code_10", "code_1103", "code_1304", "auth")), (order, account.stopped)
                assert status(t.pipeline).exit_code == 1
                t.resume()
            struck += 1
        totals = t.reckon()
    assert struck >= 38
    assert totals.charges == totals.states["stored"] == struck + 1


def test_no_fault_at_a_list_stops_the_single_queries(make_home: Callable[..., EngineHome]) -> None:
    home = make_home(run_time=(3600, 3600))
    home.options.update(DEADLINES)
    home.seeded(9)
    clock = JumpClock()
    struck = 0
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        assert len(submit_due(pipeline, plan(plan_input(pipeline))).accepted) == 9
        for order in orders_of("list"):
            if order["kind"] in ("no_unit_deduction", "videos_null"):
                continue  # nothing to bend while tasks run
            home.sandbox.clear_faults()
            home.sandbox.faults([{**order, "times": 4}])
            clock.skip(60_000)
            report = poll_due(pipeline)
            assert home.sandbox.faults()[0]["fired"] >= 1, order
            assert report.polled == 9, order
            assert report.faults == [], order
            bent = order["kind"] in ("code_200", "integer_ids", "missing_task_info")
            healed = order["kind"] in ("auth_1004", "code_1003", "code_1004")
            assert report.requests == (1 if bent else 10) or healed, order
            struck += 1
        home.sandbox.clear_faults()
        home.sandbox.faults([{"kind": kind, "where": "list"} for kind in ("videos_null", "no_unit_deduction")])
        home.sandbox.set_offset(7200)
        clock.skip(60_000)  # so that all nine are due together, and the list is read
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert all(order["fired"] for order in home.sandbox.faults())
        totals = reckon(home, pipeline.ledger)
    assert struck >= 36
    assert totals.charges == totals.states["stored"] == 9


def test_no_fault_at_a_download_for_a_while_pays_again(
    make_home: Callable[..., EngineHome],
) -> None:
    struck = 0
    with trial(make_home()) as t:
        for order in orders_of("download"):
            video = t.strike({**order, "times": 1})
            assert video.state is VideoState.COMPLETE, (order, video.blocker)
            struck += 1
        totals = t.reckon()
    assert struck == len(orders_of("download")) >= 11
    assert totals.charges == totals.states["stored"] == struck + 1


def test_faults_at_all_places_together_leave_every_video_complete(make_home: Callable[..., EngineHome]) -> None:
    orders: list[dict[str, Any]] = [
        {"kind": "timeout_after", "where": "submit"},
        {"kind": "5xx_after", "where": "submit", "code": 504, "skip": 2},
        {"kind": "code_1303", "where": "submit", "skip": 3},
        {"kind": "html", "where": "submit", "after": True, "skip": 4},
        {"kind": "reset_before", "where": "query", "times": 3},
        {"kind": "missing_task_info", "where": "query", "times": 3},
        {"kind": "videos_null", "where": "query", "times": 2},
        {"kind": "expired_url", "where": "download"},
        {"kind": "cut_download", "where": "download", "times": 2},
        {"kind": "broken_file", "where": "download", "variant": "moov"},
    ]
    with trial(make_home()) as t:
        t.home.sandbox.faults(orders)
        for _ in range(6):
            t.video(steps=2)
        assert {video.state for video in drive(t.pipeline).videos} == {VideoState.COMPLETE}
        assert all(order["fired"] for order in t.home.sandbox.faults())
        totals = t.reckon()
        assert replays_to_the_same(t.pipeline.ledger, t.home.path) > 100
    assert totals.charges == totals.states["stored"] == 13


@pytest.mark.parametrize("variant", ["cut", "moov"])
def test_a_film_that_stays_broken_is_quarantined_with_the_reason(
    variant: str, make_home: Callable[..., EngineHome]
) -> None:
    with trial(make_home()) as t:
        key = t.video()
        t.home.sandbox.faults([{"kind": "broken_file", "variant": variant, "times": 99}])
        video = t.outcome(key)
        needs_person(t, video, BlockReason.QUARANTINED)
        assert video.blocker is not None
        check_user_text(video.blocker.message.partition(": ")[0])
        quarantined = list((t.home.settings.media_dir / "quarantine").iterdir())
        assert quarantined
        fired = t.home.sandbox.faults()[0]["fired"]
        assert 2 <= fired <= 6  # the same bytes twice are enough
        assert t.reckon().states == {"stored": 1, "quarantined": 1}
        t.home.sandbox.clear_faults()
        assert isinstance(resolve.resubmit(t.pipeline, f"{key}/1", who="ann", why="again"), resolve.Resolved)
        assert t.outcome(key).state is VideoState.COMPLETE
        assert len(t.home.sandbox.charges()["charges"]) == 3  # the operator paid for another try


def test_a_kling_url_that_expired_is_requested_anew_and_nothing_is_paid_again(
    make_home: Callable[..., EngineHome],
) -> None:
    with trial(make_home()) as t:
        video = t.strike({"kind": "expired_url", "where": "download", "times": 3})
        assert video.state is VideoState.COMPLETE
        assert t.reckon().charges == 2


def test_a_result_that_is_gone_after_its_keeping_time_is_lost(make_home: Callable[..., EngineHome]) -> None:
    with trial(make_home()) as t:
        t.home.sandbox.faults([{"kind": "expired_url", "where": "download", "times": 999}])
        key = t.video()
        video = t.outcome(key)
        needs_person(t, video, BlockReason.NOT_FETCHED)  # reported while something can still be done
        t.clock.skip(31 * DAY_MS)
        video = t.outcome(key)
        needs_person(t, video, BlockReason.RESULT_LOST)
        assert t.reckon().states == {"stored": 1, "result_lost": 1}
        assert len(t.home.sandbox.charges()["charges"]) == 2


def test_an_html_page_in_place_of_the_film_is_reported_in_time(make_home: Callable[..., EngineHome]) -> None:
    with trial(make_home()) as t:
        video = t.strike({"kind": "html_download", "where": "download", "times": 99})
        needs_person(t, video, BlockReason.NOT_FETCHED)
        assert video.blocker is not None
        check_user_text(video.blocker.message)
        t.home.sandbox.clear_faults()
        t.clock.skip(600_000)
        assert t.outcome(video.key).state is VideoState.COMPLETE
        assert t.reckon().charges == 2


def test_a_task_that_can_never_be_queried_is_overdue(make_home: Callable[..., EngineHome]) -> None:
    with trial(make_home()) as t:
        video = t.strike({"kind": "5xx_before", "where": "query", "times": 500})
        needs_person(t, video, BlockReason.OVERDUE)
        t.home.sandbox.clear_faults()
        t.clock.skip(600_000)
        assert t.outcome(video.key).state is VideoState.COMPLETE
        assert t.reckon().charges == 2


def test_a_task_whose_response_misses_the_deadline_is_found_and_adopted(make_home: Callable[..., EngineHome]) -> None:
    with trial(make_home()) as t:
        video = t.strike({"kind": "timeout_after", "where": "submit", "hold": 5.0})
        assert video.state is VideoState.COMPLETE
        assert t.reckon().states == {"stored": 2}
