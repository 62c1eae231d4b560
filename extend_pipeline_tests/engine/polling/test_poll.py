"""Polling costs what is due: one list page for many tasks, single questions for few, and for what the page misses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import pytest

from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.poll import LIST_WORTH, poll_due
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.providers.protocol import Page, PageOutcome
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.ledger.plans import recorded

LIST, ONE = "GET /v1/videos/video-extend", "GET /v1/videos/video-extend/{id}"


@contextmanager
def in_flight(home: EngineHome, count: int) -> Iterator[tuple[Pipeline, JumpClock]]:
    """Yield a home with `count` tasks that run for an hour, all due for a poll, and its clock."""
    home.seeded(count)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        assert len(submit_due(pipeline, plan(plan_input(pipeline))).accepted) == count
        clock.skip(10_000)
        yield pipeline, clock


def requested(home: EngineHome) -> tuple[int, int]:
    """Return how many list pages and how many single tasks were requested."""
    routes = home.sandbox.requests()["by_route"]
    return routes.get(LIST, 0), routes.get(ONE, 0)


@pytest.fixture
def slow(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home whose tasks run for an hour."""
    return make_home(run_time=(3600, 3600))


def test_eight_due_tasks_cost_one_page(slow: EngineHome) -> None:
    with in_flight(slow, LIST_WORTH) as (pipeline, _):
        report = poll_due(pipeline)
        assert (report.polled, report.requests, report.faults) == (LIST_WORTH, 1, [])
    assert requested(slow) == (1, 0)


def test_seven_due_tasks_are_queried_one_by_one(slow: EngineHome) -> None:
    with in_flight(slow, LIST_WORTH - 1) as (pipeline, _):
        assert poll_due(pipeline).requests == LIST_WORTH - 1
    assert requested(slow) == (0, LIST_WORTH - 1)


def test_a_failed_list_is_replaced_by_single_queries(slow: EngineHome) -> None:
    slow.sandbox.faults([{"kind": "5xx_before", "where": "list", "times": 3}])
    with in_flight(slow, 9) as (pipeline, _):
        report = poll_due(pipeline)
        assert (report.polled, report.requests, report.faults) == (9, 10, [])
    assert requested(slow) == (3, 9)


def test_a_task_that_the_page_misses_is_queried_alone(slow: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_flight(slow, 10) as (pipeline, _):
        provider = pipeline.provider("k")
        whole = provider.list_page

        def shifted(page: int, size: int, *, only: Collection[str] | None) -> PageOutcome:
            full = whole(page, size, only=only)
            assert isinstance(full, Page)
            return Page(full.views[2:], full.malformed, full.rows - 2)

        monkeypatch.setattr(provider, "list_page", shifted)
        report = poll_due(pipeline)
        assert (report.polled, report.requests) == (10, 3)
    assert requested(slow) == (1, 2)


def test_many_tasks_take_as_many_pages_as_they_fill_and_no_more(
    slow: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_flight(slow, 11) as (pipeline, _):
        monkeypatch.setattr(pipeline.provider("k"), "list_page_size", 5)
        assert poll_due(pipeline).requests == 3
    assert requested(slow) == (3, 0)


def test_pages_on_which_too_few_are_found_are_not_read_further(
    slow: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_flight(slow, 25) as (pipeline, _):
        monkeypatch.setattr(pipeline.provider("k"), "list_page_size", LIST_WORTH + 2)
        oldest = [f"v{number:03}" for number in range(LIST_WORTH)]
        report = poll_due(pipeline, videos=oldest)
        assert (report.polled, report.requests) == (LIST_WORTH, 1 + LIST_WORTH)
    assert requested(slow) == (1, LIST_WORTH)


def test_what_is_not_due_is_not_queried_and_an_idle_round_writes_nothing(slow: EngineHome) -> None:
    with in_flight(slow, 9) as (pipeline, clock):
        poll_due(pipeline)
        before = slow.sandbox.requests()["total"]
        assert poll_due(pipeline).polled == 0
        assert slow.sandbox.requests()["total"] == before
        clock.skip(60_000)
        assert poll_due(pipeline, videos=["v003"]).polled == 1
        assert poll_due(pipeline).polled == 8


def test_finished_attempts_cost_no_query(make_home: Callable[..., EngineHome]) -> None:
    home = make_home()
    home.seeded(3)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        before = home.sandbox.requests()["total"]
        for _ in range(5):
            clock.skip(600_000)
            assert poll_due(pipeline).requests == 0
        assert home.sandbox.requests()["total"] == before


def test_tasks_without_news_cost_statements_a_page_and_no_row(slow: EngineHome) -> None:
    def poll_again(count: int) -> list[str]:
        with recorded(pipeline.ledger) as statements:
            clock.skip(60_000)
            assert poll_due(pipeline, videos=[f"v{number:03}" for number in range(count)]).polled == count
        assert not [text for text, _ in statements if "attempts.request" in text]  # a column of a whole row
        return sorted(text.split()[0] for text, _ in statements)

    with in_flight(slow, 40) as (pipeline, clock):
        poll_due(pipeline)  # finds that all are processing
        assert poll_again(LIST_WORTH) == poll_again(40)
