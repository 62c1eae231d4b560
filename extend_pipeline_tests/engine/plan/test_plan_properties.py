"""Properties of every plan, for any lengths, prices and order, on many generated videos."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from extend_pipeline.config.load import Configuration
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import AccountTotals, BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.support.home.engine_home import account, branch, entry
from extend_pipeline_tests.support.home.plan_inputs import configured, given, stored_from

S = AttemptState
ADDED = st.lists(st.integers(min_value=4_000, max_value=5_000), min_size=1, max_size=9)


@cache
def _template() -> Configuration:
    entries = [
        entry("long", "827", to=30, prompt="a"),
        entry("steps", "828", steps=3, prompts=["a", "b"]),
        branch("branch", "long", 1, steps=2, prompt="c"),
        branch("twig", "branch", 1, to=40, prompt="d"),
    ]
    with TemporaryDirectory() as folder:
        return configured(Path(folder), entries, account(max_in_flight=4))


def lengths(
    config: Configuration, *, source_ms: int, target_ms: int, tolerance_ms: int = 500, at_most_ms: int | None = None
) -> Configuration:
    """Return the template with other lengths of its first video."""
    videos = dict(config.catalogue.videos)
    long = videos["long"]
    source = long.source.model_copy(update={"duration_ms": source_ms})
    limits = {"to_ms": target_ms, "tolerance_ms": tolerance_ms, "at_most_ms": at_most_ms}
    extend = long.extend.model_copy(update=limits)
    videos["long"] = type(long)(
        key=long.key, account=long.account, provider=long.provider, source=source, extend=extend, file="", line=1
    )
    catalogue = type(config.catalogue)(videos, config.catalogue.path)
    return Configuration(config.settings, config.accounts, catalogue)


def driven_to_end(config: Configuration, added: list[int]) -> tuple[list[AttemptRow], list[Any]]:
    """Make everything that plans find due, one round after another; return all attempts and every plan."""
    attempts: list[AttemptRow] = []
    plans = []
    adds = itertools.cycle(added)
    for _ in range(60):
        now = plan(given(config, *attempts))
        plans.append(now)
        if not now.due:
            return attempts, plans
        attempts.extend(stored_from(step, next(adds)) for step in now.due)
    raise AssertionError("it never ends")


@settings(max_examples=200, deadline=None)
@examples(
    st.integers(1_000, 60_000),
    st.integers(1_000, 180_000),
    st.integers(0, 3_000),
    st.none() | st.integers(0, 12_000),
    ADDED,
)
def test_no_hop_is_bought_within_the_tolerance_or_past_at_most_and_every_chain_ends_as_predicted(
    source_ms: int, target_ms: int, tolerance_ms: int, room_ms: int | None, added: list[int]
) -> None:
    at_most_ms = None if room_ms is None else target_ms + room_ms
    config = lengths(
        _template(), source_ms=source_ms, target_ms=target_ms, tolerance_ms=tolerance_ms, at_most_ms=at_most_ms
    )
    attempts, plans = driven_to_end(config, added)
    before = source_ms
    for hop in sorted(
        (attempt for attempt in attempts if attempt.video_key == "long"), key=lambda attempt: attempt.hop
    ):
        assert before + tolerance_ms < target_ms  # a hop is made only where it is needed
        assert hop.film_ms is not None
        assert hop.film_ms <= min(180_000, at_most_ms or 180_000)
        before = hop.film_ms
    end = plans[-1].videos[0]
    if end.state is VideoState.COMPLETE:
        assert before + tolerance_ms >= target_ms
    else:
        assert end.blocker is not None
        assert end.blocker.reason in (BlockReason.LENGTH_CAP, BlockReason.AT_MOST)
    for earlier in plans:
        predicted = earlier.videos[0]
        assert predicted.end_ms is not None
        assert predicted.end_ms[0] <= before <= predicted.end_ms[1]
        assert predicted.hops_left[0] <= end.hops_done - predicted.hops_done <= predicted.hops_left[1]
        assert predicted.may_fall_short or end.state is VideoState.COMPLETE


@settings(max_examples=150, deadline=None)
@examples(st.integers(1_000, 60_000), st.integers(1_000, 170_000), ADDED)
def test_the_final_charge_is_within_the_range_of_every_plan(source_ms: int, target_ms: int, added: list[int]) -> None:
    config = lengths(_template(), source_ms=source_ms, target_ms=target_ms)
    attempts, plans = driven_to_end(config, added)
    charged = {
        video.key: sum(attempt.predicted_micros for attempt in attempts if attempt.video_key == video.key)
        for video in plans[0].videos
    }
    for now in plans:
        for video in now.videos:
            if video.key == "twig" or video.blocker is not None:
                continue  # the length of its source is unknown until that is made
            done = 2_000_000 * video.hops_done
            assert video.micros_left is not None
            if plans[-1].videos[0].state is VideoState.COMPLETE or video.key != "long":
                assert done + video.micros_left[0] <= charged[video.key] <= done + video.micros_left[1]


@settings(max_examples=60, deadline=None)
@examples(ADDED)
def test_a_branch_pays_for_none_of_its_parents_hops_and_each_hop_is_made_once(added: list[int]) -> None:
    attempts, plans = driven_to_end(_template(), added)
    assert len({(attempt.video_key, attempt.hop) for attempt in attempts}) == len(attempts)
    assert len({attempt.chain_digest for attempt in attempts}) == len(attempts)
    first = next(attempt for attempt in attempts if attempt.video_key == "branch" and attempt.hop == 1)
    parent = next(attempt for attempt in attempts if attempt.video_key == "long" and attempt.hop == 1)
    assert first.video_id == f"{parent.video_id}x"
    assert [video.state for video in plans[-1].videos] == [VideoState.COMPLETE] * 4
    assert sum(attempt.video_key == "branch" for attempt in attempts) == 2


@settings(max_examples=100, deadline=None)
@examples(
    st.lists(st.sampled_from(sorted(S)), min_size=0, max_size=4),
    st.builds(
        AccountTotals,
        paused=st.booleans(),
        committed_micros=st.integers(0, 20_000_000_000),
        committed_today_micros=st.integers(0, 10_000_000_000),
        in_flight=st.integers(0, 5),
        probing=st.booleans(),
    ),
    st.booleans(),
)
def test_a_plan_is_the_same_for_the_same_input_and_keeps_within_slots_and_budgets(
    states: list[AttemptState], view: AccountTotals, everything_paused: bool
) -> None:
    config = _template()
    attempts = [stored_from(step, 4_500) for step in plan(given(config)).due]
    mixed = [_in_state(attempt, state) for attempt, state in zip(attempts, states, strict=False)]
    planned = plan(given(config, *mixed, views={"k": view}, everything_paused=everything_paused))
    planned_again = plan(given(config, *reversed(mixed), views={"k": view}, everything_paused=everything_paused))
    assert planned == planned_again
    assert len(planned.due) <= max(0, 4 - view.in_flight)
    price = sum(step.predicted_micros for step in planned.due)
    assert not planned.due or view.committed_micros + price <= 20_000_000_000
    assert not planned.due or view.committed_today_micros + price <= 10_000_000_000
    assert not (planned.due and (view.paused or everything_paused))
    for video in planned.videos:
        assert (video.blocker is None) or (video.blocker.todo and video.blocker.message)
        assert not (video.due and video.blocker)
        assert video.state is not VideoState.BLOCKED or (video.blocker and video.blocker.reason.needs_person)


def _in_state(attempt: AttemptRow, state: AttemptState) -> AttemptRow:
    if state is S.STORED:
        return attempt
    return attempt._replace(state=state, film_duration_ms=None, video_id=None, completed_at=None)
