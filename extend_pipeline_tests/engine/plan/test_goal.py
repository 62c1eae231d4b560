"""When a chain has reached its target: tolerance, at_most, hops bought before, and the length that a plan predicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.config.load import Configuration
from extend_pipeline.engine.declarations import declarations
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import SourceView, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, drive, entry
from extend_pipeline_tests.support.home.every_provider import other_account, other_entry, other_home
from extend_pipeline_tests.support.home.plan_inputs import attempt, configured, given
from extend_pipeline_tests.support.user_texts import check_user_text

S = AttemptState


def planned(config: Configuration, *attempts: Any, **changes: Any) -> VideoPlan:
    """Return the plan of the first video."""
    return plan(given(config, *attempts, **changes)).videos[0]


@pytest.mark.parametrize(
    ("defaults", "extend", "enough_ms"),
    [
        ({}, {}, 14_500),
        ({}, {"tolerance": 0}, 15_000),
        ({}, {"tolerance": 1.25}, 13_750),
        ({"extend": {"tolerance": 2}}, {}, 13_000),
        ({"extend": {"tolerance": 2}}, {"tolerance": 0.1}, 14_900),
    ],
)
def test_a_video_short_by_no_more_than_the_tolerance_is_complete(
    defaults: dict[str, Any], extend: dict[str, Any], enough_ms: int, tmp_path: Path
) -> None:
    config = configured(tmp_path, [entry("v", "827", to=15, **extend)], account(**defaults))
    done = planned(config, attempt(config, "v", film_duration_ms=enough_ms))
    assert (done.state, done.hops_left, done.micros_left, done.due) == (VideoState.COMPLETE, (0, 0), (0, 0), None)
    short = planned(config, attempt(config, "v", film_duration_ms=enough_ms - 1))
    assert short.due is not None
    assert short.due.hop == 2


def test_a_hop_that_was_bought_for_a_sliver_before_still_counts(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827", to=14.5)])
    first = attempt(config, "v", 1, film_duration_ms=14_300)
    second = attempt(config, "v", 2, film_duration_ms=18_900)
    done = planned(config, first, second)
    assert (done.state, done.hops_done, done.current_ms) == (VideoState.COMPLETE, 2, 18_900)
    running = planned(config, first, attempt(config, "v", 2, S.PROCESSING))
    assert (running.state, running.hops_done) == (VideoState.WORKING, 1)
    for ended in (S.RELEASED, S.REJECTED, S.FAILED):
        assert planned(config, first, attempt(config, "v", 2, ended)).state is VideoState.COMPLETE


@pytest.mark.parametrize(("at_most", "due"), [(14.5, True), (14.499, False)])
def test_a_hop_that_could_exceed_at_most_waits_and_names_both_ways_on(
    at_most: float, due: bool, tmp_path: Path
) -> None:
    config = configured(tmp_path, [entry("v", "827", to=14, at_most=at_most)])
    video = planned(config, attempt(config, "v", film_duration_ms=9_500))  # Kling adds 4 to 5 s
    assert (video.due is not None) is due
    if not due:
        assert video.state is VideoState.BLOCKED
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.AT_MOST
        check_user_text(video.blocker.todo)
        assert (video.hops_left, video.micros_left, video.end_ms) == ((0, 0), (0, 0), (9_500, 9_500))


def test_added_seconds_are_counted_exactly_where_they_are_chosen(tmp_path: Path) -> None:
    source = {"video_url": "http://127.0.0.1:9/a.mp4"}
    config = configured(
        tmp_path, [other_entry("vidu", "v", source, at_most=13, steps=3)], other_account("vidu", extend={"at_most": 12})
    )
    assert planned(config, sources={"v": SourceView(5_000)}).end_ms == (13_000, 13_000)
    assert planned(config, sources={"v": SourceView(5_000)}).may_fall_short is True
    two = attempt(config, "v", 2, film_duration_ms=13_000)
    blocked = planned(config, attempt(config, "v", 1, film_duration_ms=9_000), two, sources={"v": SourceView(5_000)})
    assert blocked.blocker is not None
    assert blocked.blocker.reason is BlockReason.AT_MOST
    assert "steps: 2" in blocked.blocker.todo


@pytest.mark.parametrize(
    ("extend", "hops", "end_ms", "short"),
    [
        ({"to": 30}, (5, 7), (29_500, 34_499), False),
        ({"to": 30, "tolerance": 0}, (5, 7), (30_000, 34_999), False),
        ({"to": 9, "tolerance": 0}, (1, 1), (9_000, 10_000), False),
        ({"steps": 3}, (3, 3), (17_000, 20_000), False),
        ({"to": 15, "at_most": 16}, (2, 2), (13_000, 15_000), True),
        ({"to": 15, "at_most": 20}, (2, 3), (14_500, 19_499), False),
        ({"to": 180, "tolerance": 0}, (35, 43), (175_001, 180_000), True),
    ],
)
def test_a_plan_predicts_the_length_at_the_end(
    extend: dict[str, Any], hops: tuple[int, int], end_ms: tuple[int, int], short: bool, tmp_path: Path
) -> None:
    video = planned(configured(tmp_path, [entry("v", "827", **extend)]))
    assert (video.hops_left, video.end_ms, video.may_fall_short) == (hops, end_ms, short)


def test_neither_tolerance_nor_at_most_is_part_of_a_steps_name_and_defaults_change_no_definition(
    tmp_path: Path,
) -> None:
    def named(number: int, *accounts: Any, **extend: Any) -> tuple[list[str], str]:
        config = configured(tmp_path / str(number), [entry("v", "827", to=15, **extend)], *accounts)
        videos = config.catalogue.videos
        (declared,) = declarations(config)
        return chain.digests(videos["v"], 3, videos=videos), declared.definition_digest

    plain = named(0)
    written = named(1, tolerance=0.5)
    limited = named(2, tolerance=0.1, at_most=20)
    by_account = named(3, account(extend={"tolerance": 0.1, "at_most": 20}))
    assert written == plain
    assert limited[0] == by_account[0] == plain[0]
    assert limited[1] == by_account[1] != plain[1]


def test_a_sliver_is_charged_only_once_the_tolerance_requires_it(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    (written,) = other_home(home, "vidu", to=9.4)  # 5 s and one extension of 4 s
    with home.open() as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert charge_count(home) == 1
        with pipeline.ledger.read() as connection:
            declared = [row.definition_digest for row in queries.videos(connection)]
    written["extend"]["tolerance"] = 0.2
    home.catalogue([written])
    with home.open() as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert charge_count(home) == 2
        (done,) = plan(plan_input(pipeline)).videos
        assert done.current_ms is not None
        assert done.current_ms > 9_400
        with pipeline.ledger.read() as connection:
            assert [row.definition_digest for row in queries.videos(connection)] != declared
    del written["extend"]["tolerance"]
    home.catalogue([written])
    with home.open() as pipeline:
        (video,) = drive(pipeline).videos
        assert (video.state, video.hops_done, charge_count(home)) == (VideoState.COMPLETE, 2, 2)


def charge_count(home: EngineHome) -> int:
    """Return the number of the sandbox's charges."""
    return sum(row["charges"] for row in home.sandbox.charges()["by_account"].values())
