"""An edit never pays again for a paid hop without the operator's decision; one at a failed hop means that hop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.config.checks.purchase import words_digest
from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions.edits import decide_edits
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, branch, drive, entry, source_id
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, planted
from extend_pipeline_tests.support.home.plan_inputs import attempt, configured, given
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same

S = AttemptState

SIGNED = {
    "aws": ("X-Amz-Algorithm=A&X-Amz-Date=1&X-Amz-Signature=ab", "X-Amz-Algorithm=A&X-Amz-Date=2&X-Amz-Signature=cd"),
    "aws2": ("AWSAccessKeyId=A&Expires=1&Signature=ab", "AWSAccessKeyId=A&Expires=2&Signature=cd"),
    "google": ("X-Goog-Date=1&X-Goog-Signature=ab", "X-Goog-Date=2&X-Goog-Signature=cd"),
    "azure": ("sv=2024&se=1&sr=b&sp=r&sig=ab", "sv=2024&se=2&sr=b&sp=r&sig=cd"),
    "aliyun": ("OSSAccessKeyId=A&Expires=1&Signature=ab", "OSSAccessKeyId=A&Expires=2&Signature=cd"),
    "tencent": ("q-sign-algorithm=sha1&q-ak=A&q-signature=ab", "q-sign-algorithm=sha1&q-ak=A&q-signature=cd"),
    "cloudfront": ("Expires=1&Key-Pair-Id=K&Signature=ab", "Expires=2&Key-Pair-Id=K&Signature=cd"),
}


@pytest.mark.parametrize("service", SIGNED)
def test_a_url_that_is_signed_anew_names_the_same_file(service: str) -> None:
    first, second = (f"https://Bucket.example.com/a%20film.mp4?part=7&{query}" for query in SIGNED[service])
    unsigned = "https://bucket.example.com/a film.mp4?part=7"
    assert without_signature(first) == without_signature(second) == unsigned


@pytest.mark.parametrize("query", ["version=2", "sv=2", "Expires=2", "x-oss-process=video", "t=3", "Signature=ab"])
def test_another_parameter_names_another_file(query: str) -> None:
    assert without_signature(f"https://a.example/f.mp4?{query}") != without_signature("https://a.example/f.mp4")


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"prompt": "the fog lifts"}, {"prompt": " the fog lifts \n"}),
        ({"prompt": "one\ntwo"}, {"prompt": "one\r\ntwo"}),
        ({"prompt": "caf\u00e9"}, {"prompt": "cafe\u0301"}),
        ({"prompt": "a"}, {"prompt": "a", "cfg_scale": 0.5, "watermark": False}),
        ({"last_frame_url": "file:/a.png", "last_frame_sha256": "ab"}, {"last_frame_sha256": "ab"}),
        ({"image_url": "https://a.example/i.png?sv=1&sig=2"}, {"image_url": "https://a.example/i.png"}),
    ],
)
def test_the_same_prompt_spelled_otherwise_is_the_same(before: Mapping[str, object], now: Mapping[str, object]) -> None:
    assert words_digest(before) == words_digest(now)


@pytest.mark.parametrize(
    "now", [{"prompt": "b"}, {"prompt": "a", "cfg_scale": 0.6}, {"prompt": "a", "watermark": True}]
)
def test_other_parameters_have_another_digest(now: Mapping[str, object]) -> None:
    assert words_digest({"prompt": "a"}) != words_digest(now)


def only(videos: tuple[VideoPlan, ...]) -> VideoPlan:
    (video,) = videos
    return video


def test_an_edit_of_a_paid_chain_is_a_question_with_both_sides_and_both_prices(tmp_path: Path) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=10, prompt="a")])
    attempts = [attempt(before, "v", hop) for hop in range(1, 9)]
    after = configured(tmp_path, [entry("v", "827", steps=10, prompt="b")])
    video = only(plan(given(after, *attempts)).videos)
    assert video.state is VideoState.BLOCKED
    assert video.due is None
    assert video.blocker is not None
    assert video.blocker.reason is BlockReason.REPURCHASE
    edit = video.edit
    assert edit is not None
    assert (edit.hop, edit.kept_hops) == (1, 8)
    assert (edit.paid_for["prompt"], edit.now["prompt"]) == ("a", "b")
    assert (edit.keep_hops, edit.keep_micros) == ((2, 2), (4_000_000, 4_000_000))
    assert (edit.pay_hops, edit.pay_micros) == ((10, 10), (20_000_000, 20_000_000))
    assert [choice.hop for choice in edit.keep] == list(range(1, 9))


@pytest.mark.parametrize("state", [S.FAILED, S.REJECTED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF, S.RELEASED])
def test_an_edit_of_a_chain_that_ends_without_a_film_means_its_last_hop(tmp_path: Path, state: AttemptState) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=3, prompt="a")])
    reason = "content" if state is S.REJECTED else "duplicate_or_bad_value" if state is S.RELEASED else None
    tries = [attempt(before, "v", 1), attempt(before, "v", 2, state, error_reason=reason, claimed_at=2**50)]
    after = configured(tmp_path, [entry("v", "827", steps=3, prompt="b")])
    due = only(plan(given(after, *tries)).videos).due
    assert due is not None
    assert (due.hop, due.params["prompt"], due.parent_attempt_id) == (2, "b", "v-1-stored")
    assert [choice.hop for choice in due.choices] == [1]


@pytest.mark.parametrize("state", [S.FAILED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF])
def test_the_same_prompt_spelled_otherwise_buys_nothing_after_a_paid_hop_without_a_film(
    tmp_path: Path, state: AttemptState
) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=2, prompt="a")])
    tries = [attempt(before, "v", 1), attempt(before, "v", 2, state)]
    after = configured(tmp_path, [entry("v", "827", steps=2, prompt="a ")])
    first, second = (only(plan(given(config, *tries)).videos) for config in (before, after))
    assert (second.state, second.due, second.blocker) == (VideoState.BLOCKED, None, first.blocker)


@pytest.mark.parametrize("claimed_at", [1_000, 2**50])
def test_an_edit_of_a_hop_stored_at_the_second_try_is_a_question_at_any_clock(tmp_path: Path, claimed_at: int) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=1, prompt="a")])
    failed = attempt(before, "v", 1, S.FAILED, claimed_at=claimed_at, resubmit_allowed=True)
    stored = attempt(before, "v", 1, generation=2, claimed_at=1_001)
    after = configured(tmp_path, [entry("v", "827", steps=1, prompt="b")])
    video = only(plan(given(after, failed, stored)).videos)
    assert (video.edit is not None, video.due) == (True, None)


def test_an_edit_of_an_earlier_hop_is_a_question_though_a_later_one_failed(tmp_path: Path) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=2, prompts=["a", "b"])])
    tries = [attempt(before, "v", 1), attempt(before, "v", 2, S.FAILED)]
    after = configured(tmp_path, [entry("v", "827", steps=2, prompts=["A", "b"])])
    assert only(plan(given(after, *tries)).videos).edit is not None


@pytest.mark.parametrize("state", [S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING, S.SUCCEEDED])
def test_an_edit_of_a_hop_that_may_still_yield_a_film_is_a_question(tmp_path: Path, state: AttemptState) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=1, prompt="a")])
    after = configured(tmp_path, [entry("v", "827", steps=1, prompt="b")])
    video = only(plan(given(after, attempt(before, "v", 1, state))).videos)
    assert (video.edit is not None, video.running is not None, video.due) == (True, True, None)


@pytest.mark.parametrize(("source", "asks"), [("828", True), ("827", False)])
def test_another_source_is_a_question_though_edits_are_kept(tmp_path: Path, source: str, asks: bool) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=2, prompt="a")])
    attempts = [attempt(before, "v", hop) for hop in (1, 2)]
    after = configured(tmp_path, [entry("v", source, steps=3, prompt="b")])
    video = only(plan(given(after, *attempts, on_change="keep")).videos)
    assert (video.edit is not None, video.due is None) == (asks, asks)


def test_new_hops_and_longer_targets_go_on_without_asking(tmp_path: Path) -> None:
    before = configured(tmp_path, [entry("v", "827", steps=2, prompts=["a", "b"])])
    attempts = [attempt(before, "v", hop) for hop in (1, 2)]
    after = configured(tmp_path, [entry("v", "827", steps=3, prompts=["a", "b", "c"])])
    due = only(plan(given(after, *attempts)).videos).due
    assert due is not None
    assert (due.hop, due.params["prompt"]) == (3, "c")


def _charges(home: EngineHome) -> int:
    return len(home.sandbox.charges()["charges"])


@pytest.fixture
def finished(make_home: Callable[..., EngineHome], ledger_url: str) -> EngineHome:
    """Return a home with one finished video of three hops."""
    home = make_home(ledger_url=ledger_url)
    home.seeded(1, steps=3, prompt="the fog lifts")
    with home.open() as pipeline:
        drive(pipeline)
    assert _charges(home) == 3
    return home


def _edit(home: EngineHome, *, steps: int = 3, prompt: str = "the fog lifts.", **changes: Any) -> None:
    home.write([entry("v000", source_id(0), steps=steps, prompt=prompt)], account(home.sandbox.base_url, **changes))


def test_a_changed_comma_buys_nothing_until_the_operator_decides(finished: EngineHome, tmp_path: Path) -> None:
    _edit(finished)
    with finished.open() as pipeline:
        video = only(drive(pipeline).videos)
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.REPURCHASE
        assert video.hops_done == 3
        assert reckon(finished, pipeline.ledger).charges == 3
        assert [a.video_key for a in decide_edits(pipeline, decision="keep", videos=["v000"], who="me")] == ["v000"]
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
    _edit(finished, steps=4)
    with finished.open() as pipeline:
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == 4
        with pipeline.ledger.read() as connection:
            params = connection.execute(select(tables.attempts.c.params).order_by(tables.attempts.c.hop)).scalars()
            assert [text.count("lifts.") for text in params] == [0, 0, 0, 1]
        replays_to_the_same(pipeline.ledger, tmp_path)


def test_paying_anew_buys_the_edited_hop_and_those_after_it_once(finished: EngineHome) -> None:
    _edit(finished)
    with finished.open() as pipeline:
        drive(pipeline)
        decide_edits(pipeline, decision="pay", videos=None, who="me")
        assert decide_edits(pipeline, decision="pay", videos=None, who="me") == []
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == 6
    _edit(finished, prompt="the fog lifts")
    with finished.open() as pipeline:  # undone: what was paid for first is still there
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == 6


@pytest.mark.parametrize(("on_change", "charges"), [("keep", 3), ("pay", 6)])
def test_an_account_may_decide_for_all(finished: EngineHome, on_change: str, charges: int) -> None:
    _edit(finished, on_change=on_change)
    with finished.open() as pipeline:
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == charges
    _edit(finished)  # what was decided stays decided
    with finished.open() as pipeline:
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == charges


def test_the_catalogue_may_decide_where_the_account_does_not(finished: EngineHome) -> None:
    _edit(finished)
    path = finished.path / "catalog.yaml"
    path.write_text('{"defaults": {"on_change": "keep"}, ' + path.read_text().lstrip("{"))
    with finished.open() as pipeline:
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == 3


@pytest.mark.parametrize("prompt", ["the fog lifts ", "the fog lifts\r\n"])
def test_white_space_is_no_edit(finished: EngineHome, prompt: str) -> None:
    _edit(finished, prompt=prompt)
    with finished.open() as pipeline:
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
        assert reckon(finished, pipeline.ledger).charges == 3


def test_a_refused_hop_that_is_fixed_pays_for_nothing_before_it(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(4, steps=2, prompt="a")
    with home.open() as pipeline:
        home.sandbox.faults([{"kind": "code_1301", "where": "submit", "times": 4, "skip": 4}])
        drive(pipeline)
        states = {video.blocker.reason for video in plan(plan_input(pipeline)).videos if video.blocker}
    assert states == {BlockReason.REJECTED}
    assert _charges(home) == 4
    home.write([entry(f"v{number:03}", source_id(number), steps=2, prompt="b") for number in range(4)])
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 8
    home.write([entry(f"v{number:03}", source_id(number), steps=2, prompt="c") for number in range(4)])
    with home.open() as pipeline:
        assert all(video.edit is not None for video in drive(pipeline).videos)
        assert reckon(home, pipeline.ledger).charges == 8


def test_a_plan_from_before_an_edit_buys_nothing_that_was_bought_meanwhile(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(1, steps=1, prompt="a")
    with home.open() as slow:
        advance(slow, submit=False, publish=False)
        planned = plan(plan_input(slow))
        home.write([entry("v000", source_id(0), steps=1, prompt="b")])
        with home.open() as quick:
            assert only(drive(quick).videos).state is VideoState.COMPLETE
        refused = submit_due(slow, planned).refused
        assert [refusal.reason for refusal in refused] == [BlockReason.CHANGED]
        assert reckon(home, slow.ledger).charges == 1


def test_a_branch_is_a_question_when_its_parent_is_paid_anew(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])

    def write(prompt: str) -> None:
        home.write([branch("night", "day", 1, steps=1, prompt="n"), entry("day", source_id(0), steps=1, prompt=prompt)])

    write("sun")
    with home.open() as pipeline:
        drive(pipeline)
    write("rain")
    with home.open() as pipeline:
        night, day = drive(pipeline).videos
        assert (night.state, day.edit is not None) == (VideoState.COMPLETE, True)
        decide_edits(pipeline, decision="pay", videos=["day"], who="me")
        night, day = drive(pipeline).videos
        assert (night.edit is not None, day.state) == (True, VideoState.COMPLETE)
        assert reckon(home, pipeline.ledger).charges == 3
        decide_edits(pipeline, decision="keep", videos=["night"], who="me")
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 3


@pytest.mark.parametrize("provider", OTHERS)
def test_every_provider_asks_before_it_buys_again(home: EngineHome, provider: str) -> None:
    written = planted(home, provider, 0)
    home.write([written], other_account(provider, home.sandbox.base_url))
    with home.open() as pipeline:
        assert only(drive(pipeline).videos).state is VideoState.COMPLETE
    home.catalogue([{**written, "extend": {**written["extend"], "prompt": "the fog lifts."}}])
    with home.open() as pipeline:
        assert only(drive(pipeline).videos).edit is not None
    assert _charges(home) == 1


def test_a_source_that_is_signed_anew_or_has_the_same_bytes_is_the_same(home: EngineHome) -> None:
    written = planted(home, "vidu", 0)
    home.write([written], other_account("vidu", home.sandbox.base_url))
    with home.open() as pipeline:
        drive(pipeline)
    url = written["source"]["video_url"]
    mark = "&" if "?" in url else "?"
    for query in ("X-Amz-Date=1&X-Amz-Signature=ab", "another=parameter"):
        home.catalogue([{**written, "source": {"video_url": f"{url}{mark}{query}"}}])
        with home.open() as pipeline:
            assert only(drive(pipeline).videos).state is VideoState.COMPLETE, query
    assert _charges(home) == 1
