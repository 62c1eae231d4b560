"""What a plan decides, case by case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.config.model.catalogue import root_source
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.hop_state import UNCLEAR_VALUE
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.spending_rules import AccountTotals, BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.support.home.engine_home import DAY_MS, account, branch, entry
from extend_pipeline_tests.support.home.plan_inputs import attempt, configured, given, held, stored_from
from extend_pipeline_tests.support.ledger.steps import NOON

S = AttemptState
KNIFE = "risk control: knife"
UNPAID = "Account balance not enough"
ENDED = "why it ended"
MIDNIGHT = (NOON // DAY_MS + 1) * DAY_MS


def only(result: Any) -> VideoPlan:
    """Return the only video of a plan."""
    (video,) = result.videos
    assert isinstance(video, VideoPlan)
    return video


def test_a_new_video_is_due_with_its_first_hop_and_its_range_of_costs(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827", to=30, prompt="fog")])
    video = only(plan(given(config)))
    assert video.due is not None
    assert (video.due.hop, video.due.generation, video.due.try_no) == (1, 1, 1)
    assert video.due.parent_video_id == "827"
    assert video.due.params == {"prompt": "fog"}
    assert video.due.predicted_micros == 2_000_000
    assert video.hops_left == (5, 7)  # 24.5 s are missing: five of 5 s, or seven of 4 s
    assert video.micros_left == (10_000_000, 14_000_000)
    assert video.state is VideoState.WORKING


def test_a_stored_hop_makes_the_next_one_due_from_its_own_result(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827", to=30)])
    video = only(plan(given(config, attempt(config, "v"))))
    assert video.due is not None
    assert (video.due.hop, video.due.parent_video_id, video.due.parent_duration_ms) == (2, "91", 9_500)
    assert video.due.parent_attempt_id == "v-1-stored"
    assert (video.hops_done, video.current_ms) == (1, 9_500)


def test_a_changed_prompt_makes_its_hop_and_all_after_it_anew_and_keeps_the_earlier_attempts(tmp_path: Path) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=3, prompts=["a", "b", "c"])])
    attempts = [attempt(before, "v", hop) for hop in (1, 2, 3)]
    assert only(plan(given(before, *attempts))).state is VideoState.COMPLETE
    after = configured(tmp_path, [entry("v", "827", steps=3, prompts=["a", "B", "c"])])
    video = only(plan(given(after, *attempts, on_change="pay")))
    assert video.due is not None
    assert (video.due.hop, video.due.params, video.due.paid_again) == (2, {"prompt": "B"}, True)
    assert video.due.parent_attempt_id == "v-1-stored"
    assert video.hops_done == 1
    third = only(plan(given(after, *attempts, stored_from(video.due, 4_500), on_change="pay")))
    assert third.due is not None
    assert (third.due.hop, third.due.paid_again) == (3, True)
    assert third.due.parent_video_id == "91x"
    assert only(plan(given(before, *attempts, stored_from(video.due, 4_500)))).state is VideoState.COMPLETE


def test_an_earlier_attempt_that_still_runs_is_waited_for(tmp_path: Path) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=1, prompt="a")])
    running = attempt(before, "v", state=S.PROCESSING)
    after = configured(tmp_path, [entry("v", "827", steps=1, prompt="b")])
    held(only(plan(given(after, running, on_change="pay"))), BlockReason.EARLIER_TAKE)


def test_an_earlier_attempt_in_doubt_waits_for_the_operator(tmp_path: Path) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=1, prompt="a")])
    doubtful = attempt(before, "v", state=S.IN_DOUBT, submit_class="D")
    after = configured(tmp_path, [entry("v", "827", steps=1, prompt="b")])
    held(only(plan(given(after, doubtful, on_change="pay"))), BlockReason.IN_DOUBT)


def test_a_branch_shares_its_parents_hops_and_pays_for_none_of_them(tmp_path: Path) -> None:
    entries = [entry("day", "827", steps=3, prompt="sun"), branch("night", "day", 2, steps=2, prompt="moon")]
    config = configured(tmp_path, entries)
    start = plan(given(config)).videos
    assert [video.due is not None for video in start] == [True, False]
    held(start[1], BlockReason.PARENT)
    shared = [attempt(config, "day", hop) for hop in (1, 2)]
    day, night = plan(given(config, *shared)).videos
    assert day.due is not None
    assert night.due is not None
    assert (night.due.hop, night.due.parent_attempt_id, night.due.parent_video_id) == (1, "day-2-stored", "92")
    assert (night.due.root_video_id, night.due.parent_duration_ms) == ("827", 14_000)
    assert day.due.chain_digest != night.due.chain_digest
    assert night.hops_left == (2, 2)


def test_a_branch_reports_that_its_parent_is_blocked(tmp_path: Path) -> None:
    short = configured(tmp_path, [entry("day", "827", to=9), branch("night", "day", 3, to=40)])
    finished = attempt(short, "day")
    held(plan(given(short, finished)).videos[1], BlockReason.PARENT_BLOCKED)
    failed = attempt(short, "day", state=S.FAILED, error_message="risk control")
    held(plan(given(short, failed)).videos[1], BlockReason.PARENT_BLOCKED, "risk control")


def test_a_branch_whose_parent_waits_for_tomorrow_waits_for_tomorrow_too(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("day", "827", steps=1), branch("night", "day", 1, steps=1)])
    spent = {"k": AccountTotals(committed_micros=10_000_000_000, committed_today_micros=10_000_000_000)}
    day, night = plan(given(config, views=spent)).videos
    held(day, BlockReason.DAY_BUDGET)
    held(night, BlockReason.DAY_BUDGET)
    assert night.blocker is not None
    assert night.blocker.until_ms == MIDNIGHT


@pytest.mark.parametrize("hop", [1, 2])
def test_a_video_is_not_extended_thirty_days_after_it_was_made(hop: int, tmp_path: Path) -> None:
    written = entry("v", "827", steps=3)
    written["source"]["created_at"] = "2026-10-20T00:00:00Z"
    config = configured(tmp_path, [written])
    born = root_source(config.catalogue.videos["v"], config.catalogue.videos).created_at
    assert born is not None
    attempts = [] if hop == 1 else [attempt(config, "v", completed_at=int(born.timestamp() * 1000))]
    end = int(born.timestamp() * 1000) + 30 * DAY_MS
    last_moment = only(plan(given(config, *attempts, now_ms=end - 1)))
    assert last_moment.due is not None
    video = only(plan(given(config, *attempts, now_ms=end)))
    held(video, BlockReason.SOURCE_EXPIRED, "2026-11-19 00:00 UTC")


def test_a_hop_that_could_exceed_three_minutes_is_not_submitted(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827", to=180, duration=170)])
    assert only(plan(given(config, attempt(config, "v", film_duration_ms=175_000)))).due is not None
    video = only(plan(given(config, attempt(config, "v", film_duration_ms=175_001))))
    held(video, BlockReason.LENGTH_CAP)


def test_without_a_price_or_a_budget_nothing_is_submitted(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    plain = config.accounts["k"]
    unpriced = plain.model_copy(update={"price": plain.price.model_copy(update={"per_extension_micros": {"pro": 1}})})
    video = only(plan(given(config, accounts={"k": unpriced})))
    held(video, BlockReason.NO_PRICE)
    assert video.micros_left is None
    poor = plain.model_copy(update={"budget": None})
    held(only(plan(given(config, accounts={"k": poor}))), BlockReason.NO_BUDGET)


def test_a_spent_day_waits_until_tomorrow_and_a_spent_total_for_the_operator(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")], account(budget={"per_day": 10, "total": 100}))
    tight = {"k": AccountTotals(committed_micros=8_000_000, committed_today_micros=8_000_000)}
    assert only(plan(given(config, views=tight))).due is not None
    spent = {"k": AccountTotals(committed_micros=8_000_001, committed_today_micros=8_000_001)}
    today = only(plan(given(config, views=spent)))
    held(today, BlockReason.DAY_BUDGET)
    assert today.blocker is not None
    assert today.blocker.until_ms == MIDNIGHT
    gone = {"k": AccountTotals(committed_micros=98_000_001)}
    held(only(plan(given(config, views=gone))), BlockReason.TOTAL_BUDGET, "1.999999")
    dear = configured(tmp_path, [entry("v", "827")], account(budget={"per_day": 1, "total": 100}))
    held(only(plan(given(dear))), BlockReason.TOTAL_BUDGET)  # no tomorrow will be enough


def test_slots_and_budgets_go_to_the_first_videos_of_the_catalogue(tmp_path: Path) -> None:
    entries = [entry(key, f"82{number}") for number, key in enumerate("zebra")]
    config = configured(tmp_path, entries, account(max_in_flight=4))
    planned = plan(given(config, views={"k": AccountTotals(in_flight=1)}))
    assert [step.video.key for step in planned.due] == ["z", "e", "b"]
    held(planned.videos[3], BlockReason.SLOTS)
    poor = configured(tmp_path, entries, account(budget={"per_day": 5, "total": 100}))
    assert [step.video.key for step in plan(given(poor)).due] == ["z", "e"]


def test_a_back_off_is_waited_for_and_followed_by_one_probe(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry(key, f"82{number}") for number, key in enumerate("abc")])
    resting = {"k": AccountTotals(backing_off_until=NOON + 700, probing=True)}
    first = plan(given(config, views=resting)).videos[0]
    held(first, BlockReason.BACKOFF)
    assert first.blocker is not None
    assert first.blocker.until_ms == NOON + 700
    rested = plan(given(config, views=resting, now_ms=NOON + 700))
    assert [step.video.key for step in rested.due] == ["a"]


def test_paused_and_stopped_accounts_submit_nothing_and_name_how_to_resume(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    held(only(plan(given(config, everything_paused=True))), BlockReason.PAUSED)
    held(only(plan(given(config, views={"k": AccountTotals(paused=True)}))), BlockReason.PAUSED)
    stopped = {"k": AccountTotals(stopped_reason="balance", stopped_message=UNPAID)}
    held(only(plan(given(config, views=stopped))), BlockReason.ACCOUNT_STOPPED, UNPAID)


@pytest.mark.parametrize("reason", ["rate", "slots", "unsent", "auth", "balance", "forbidden"])
def test_a_refusal_that_does_not_concern_the_step_is_tried_again(reason: str, tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    refused = attempt(config, "v", state=S.REJECTED, error_reason=reason, try_no=4)
    video = only(plan(given(config, refused)))
    assert video.due is not None
    assert (video.due.generation, video.due.try_no, video.due.last_attempt_id) == (1, 5, refused.attempt_id)
    assert video.due.paid_again is False


@pytest.mark.parametrize("reason", ["content", "bad_request", "not_found"])
def test_a_refusal_of_the_step_waits_for_the_operator_with_the_providers_message(reason: str, tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    refused = attempt(config, "v", state=S.REJECTED, error_reason=reason, error_message=KNIFE)
    held(only(plan(given(config, refused))), BlockReason.REJECTED, KNIFE)


def test_an_attempt_that_provably_made_no_task_is_tried_again_in_the_same_generation(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    video = only(plan(given(config, attempt(config, "v", state=S.RELEASED, generation=2, try_no=3))))
    assert video.due is not None
    assert (video.due.generation, video.due.try_no) == (2, 4)
    unclear = attempt(config, "v", state=S.RELEASED, error_reason=UNCLEAR_VALUE)
    held(only(plan(given(config, unclear))), BlockReason.REJECTED)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (S.FAILED, BlockReason.FAILED),
        (S.QUARANTINED, BlockReason.QUARANTINED),
        (S.RESULT_LOST, BlockReason.RESULT_LOST),
        (S.WRITTEN_OFF, BlockReason.WRITTEN_OFF),
    ],
)
def test_a_paid_failure_needs_the_operator_whose_decision_raises_the_generation_by_one(
    state: AttemptState, reason: BlockReason, tmp_path: Path
) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    ended = attempt(config, "v", state=state, generation=3, try_no=2, error_message=ENDED)
    held(only(plan(given(config, ended))), reason, ENDED)
    allowed = only(plan(given(config, ended._replace(resubmit_allowed=True))))
    assert allowed.due is not None
    assert (allowed.due.generation, allowed.due.try_no) == (4, 1)


@pytest.mark.parametrize("state", [S.CLAIMED, S.SENDING, S.SUBMITTED, S.PROCESSING, S.SUCCEEDED])
def test_an_attempt_under_way_is_neither_due_nor_blocked(state: AttemptState, tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    video = only(plan(given(config, attempt(config, "v", state=state))))
    assert (video.state, video.due, video.blocker) == (VideoState.WORKING, None, None)
    assert video.running is not None


def test_doubts_are_looked_up_or_left_to_the_operator_by_the_class_of_the_account(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")])
    doubtful = attempt(config, "v", state=S.IN_DOUBT, absences=1)
    held(only(plan(given(config, doubtful))), BlockReason.IN_DOUBT_CHECKING)
    for cause in (LookCause.NO_CONTROL, LookCause.FOREIGN_TASK):
        looked_up = given(config, doubtful, look=LastLook("the key of 77", cause))
        held(only(plan(looked_up)), BlockReason.IN_DOUBT, "the key of 77")
    for submit_class in "BCD":
        without_keys = doubtful._replace(submit_class=submit_class)
        held(only(plan(given(config, without_keys))), BlockReason.IN_DOUBT)


def test_a_task_that_runs_for_longer_than_the_accounts_patience_is_overdue(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")], account(patience=60))
    late = attempt(config, "v", state=S.PROCESSING, submitted_at=NOON - 60_001)
    look = LastLook("upstream: HTTP 500")
    held(only(plan(given(config, late, look=look))), BlockReason.OVERDUE, "HTTP 500")
    assert only(plan(given(config, late._replace(submitted_at=NOON - 60_000), look=look))).blocker is None


def test_a_result_that_our_rules_refuse_is_reported_at_once_and_a_slow_one_later(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827")], account(patience=60))
    note = "cdn.example.com is not among the account's download_hosts"
    succeeded = attempt(config, "v", state=S.SUCCEEDED, expires_at=NOON + DAY_MS)
    refused = given(config, succeeded, look=LastLook(note, LookCause.FETCH_REFUSED))
    held(only(plan(refused)), BlockReason.NOT_FETCHED, note)
    flaky = LastLook("HTTP 503")
    assert only(plan(given(config, succeeded, look=flaky))).blocker is None
    late = given(config, succeeded, look=flaky, now_ms=NOON + 60_001)
    held(only(plan(late)), BlockReason.NOT_FETCHED, "HTTP 503")


def test_a_result_without_a_video_id_is_not_extendable(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827", steps=2)])
    held(only(plan(given(config, attempt(config, "v", video_id=None)))), BlockReason.NOT_EXTENDABLE)


def test_digests_of_hops_depend_only_on_what_they_are_made_from(tmp_path: Path) -> None:
    config = configured(tmp_path, [entry("v", "827", steps=3, prompts=["a", "b", "c"])])
    longer = configured(tmp_path, [entry("v", "827", to=100, prompts=["a", "b", "x"])])
    another_source = configured(tmp_path, [entry("v", "828", steps=3, prompts=["a", "b", "c"])])
    first, second, third = (
        chain.digests(configuration.catalogue.videos["v"], 3, videos=configuration.catalogue.videos)
        for configuration in (config, longer, another_source)
    )
    assert first[:3] == second[:3]
    assert first[3] != second[3]
    assert not set(first) & set(third)
    assert len(set(first)) == 4
