"""Plans of the providers besides Kling before anything is spent: each block reason by name, with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.config.load import Configuration
from extend_pipeline.config.model.price import Price
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.plan.model import SourceView, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, other_entry, other_home
from extend_pipeline_tests.support.home.plan_inputs import attempt, configured, given, held
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.ledger.steps import NOON

URL = "http://127.0.0.1:9/film.mp4"
SOURCES: dict[str, dict[str, Any]] = {
    "kling-gateway": {"video_id": "827", "model": "kling-v1-6", "mode": "std", "duration": 5.0},
    "vidu": {"video_url": URL},
    "luma": {"task_id": "4665a07c"},
}
MEASURED = {"v": SourceView(probed_ms=5_000, path="ab/source.mp4")}


def home_of(
    folder: Path, provider: str, *, source: dict[str, Any] | None = None, account: Any = None, **extend: Any
) -> Configuration:
    """Return the configuration of one video `v` of a provider."""
    written = {**SOURCES[provider], **(source or {})}
    return configured(folder, [other_entry(provider, "v", written, **extend)], account or other_account(provider))


def planned(configuration: Configuration, *attempts: Any, **changes: Any) -> VideoPlan:
    """Return the plan of `v`; its source was measured unless `sources` says otherwise."""
    (video,) = plan(given(configuration, *attempts, **{"sources": MEASURED, **changes})).videos
    return video


@pytest.mark.parametrize("provider", OTHERS)
def test_a_measured_source_is_due_with_what_one_hop_costs(provider: str, tmp_path: Path) -> None:
    due = planned(home_of(tmp_path, provider)).due
    assert due is not None
    assert due.parent_video_id == next(iter(SOURCES[provider].values()))
    assert due.parent_duration_ms == 5_000
    assert due.predicted_micros == (500_000 if provider == "vidu" else 1_000_000)


def test_a_gateways_source_that_is_too_old_is_reported_before_anything_is_spent(tmp_path: Path) -> None:
    config = home_of(tmp_path, "kling-gateway", source={"created_at": "2025-01-15T08:00:00Z"})
    held(planned(config), BlockReason.SOURCE_EXPIRED, "2025-02-14")


def test_a_gateways_hop_that_would_exceed_three_minutes_is_not_submitted(tmp_path: Path) -> None:
    config = home_of(tmp_path, "kling-gateway", source={"duration": 176.0}, to=180)
    held(planned(config, sources={}), BlockReason.LENGTH_CAP)
    below = home_of(tmp_path, "kling-gateway", source={"duration": 175.0}, to=180)
    assert planned(below, sources={}).due is not None


@pytest.mark.parametrize("measured", [3_000, 61_000])
def test_a_vidu_source_outside_the_accepted_lengths_is_reported(measured: int, tmp_path: Path) -> None:
    video = planned(home_of(tmp_path, "vidu"), sources={"v": SourceView(measured, "ab/source.mp4")})
    held(video, BlockReason.SOURCE_LENGTH)


@pytest.mark.parametrize("measured", [4_000, 60_000])
def test_a_vidu_source_at_the_edge_of_the_accepted_lengths_is_due(measured: int, tmp_path: Path) -> None:
    video = planned(home_of(tmp_path, "vidu"), sources={"v": SourceView(measured, "ab/source.mp4")})
    assert video.due is not None


def test_a_declared_length_does_not_replace_the_measurement_of_a_vidu_source(tmp_path: Path) -> None:
    config = home_of(tmp_path, "vidu", source={"duration": 6})
    held(planned(config, sources={}), BlockReason.SOURCE_UNCHECKED)
    missing = planned(config, sources={"v": SourceView(fault="it answered 404")})
    held(missing, BlockReason.UNREACHABLE_SOURCE, "it answered 404")


def test_a_missing_vidu_source_is_reported_and_extended_once_it_exists(home: EngineHome) -> None:
    (entry,) = other_home(home, "vidu")
    url = entry["source"]["video_url"]
    entry["source"]["video_url"] = url.replace(".mp4", "-gone.mp4")
    home.catalogue([entry])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        (video,) = drive(pipeline).videos
        held(video, BlockReason.UNREACHABLE_SOURCE)
        assert status(pipeline).exit_code == 1
        requests = home.sandbox.requests()["total"]
        advance(pipeline, publish=False)
        assert home.sandbox.requests()["total"] == requests  # not requested in every round
        assert home.sandbox.charges()["charges"] == []
    entry["source"]["video_url"] = url
    home.catalogue([entry])
    clock.skip(700_000)
    with home.open(clock) as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


@pytest.mark.parametrize("seconds", [3.0, 61.0])
def test_a_vidu_source_is_measured_and_refused_before_anything_is_spent(seconds: float, home: EngineHome) -> None:
    other_home(home, "vidu", duration=seconds)
    with home.open() as pipeline:
        held(drive(pipeline).videos[0], BlockReason.SOURCE_LENGTH)
        assert status(pipeline).exit_code == 1
        assert reckon(home, pipeline.ledger).charges == 0


def test_a_vidu_hop_whose_parents_url_has_expired_starts_from_a_public_store(tmp_path: Path) -> None:
    last: dict[str, Any] = {
        "video_id": "https://results.example.com/1.mp4",
        "path": "ab/one two.mp4",
        "probed_duration_ms": 9_000,
    }
    config = home_of(tmp_path, "vidu", steps=2)
    alive = planned(config, attempt(config, "v", **last, expires_at=NOON + 3_600_000))
    assert alive.due is not None
    assert alive.due.parent_video_id == last["video_id"]
    soon = attempt(config, "v", **last, expires_at=NOON + 300_000)  # it must outlive the hop
    held(planned(config, soon), BlockReason.UNREACHABLE_SOURCE)
    public = other_account("vidu", public_media_url="https://media.example.com/store/")
    served = home_of(tmp_path, "vidu", account=public, steps=2)
    due = planned(served, soon).due
    assert due is not None
    assert due.hop == 2
    assert due.parent_video_id == "https://media.example.com/store/ab/one%20two.mp4"


def test_a_vidu_film_longer_than_a_minute_is_not_submitted_again(tmp_path: Path) -> None:
    config = home_of(tmp_path, "vidu", steps=2, seconds=7)
    long = attempt(config, "v", video_id=URL, probed_duration_ms=60_500, film_duration_ms=60_500)
    held(planned(config, long), BlockReason.LENGTH_CAP)
    shorter = home_of(tmp_path, "vidu", steps=2, seconds=1)
    long = attempt(shorter, "v", video_id=URL, probed_duration_ms=60_500, film_duration_ms=60_500)
    held(planned(shorter, long), BlockReason.SOURCE_LENGTH)


@pytest.mark.parametrize("provider", OTHERS)
def test_without_a_price_nothing_is_due(provider: str, tmp_path: Path) -> None:
    config = home_of(tmp_path, provider)
    priced = config.accounts[provider]
    none = Price(unit="x", per_extension_micros={"other": 1}, unit_price_micros=1, currency="USD")
    accounts = {provider: priced.model_copy(update={"price": none})}
    held(planned(config, accounts=accounts), BlockReason.NO_PRICE)


@pytest.mark.parametrize("provider", OTHERS)
def test_without_a_budget_nothing_is_due(provider: str, tmp_path: Path) -> None:
    config = home_of(tmp_path, provider)
    accounts = {provider: config.accounts[provider].model_copy(update={"budget": None})}
    video = planned(config, accounts=accounts)
    held(video, BlockReason.NO_BUDGET)


def test_a_luma_target_over_a_source_of_unknown_length_is_reported(tmp_path: Path) -> None:
    gone = {"v": SourceView(fault="the task is unknown")}
    config = home_of(tmp_path, "luma", to=20)
    held(planned(config, sources={}), BlockReason.SOURCE_UNCHECKED)
    held(planned(config, sources=gone), BlockReason.UNKNOWN_LENGTH, "the task is unknown")
    assert planned(home_of(tmp_path, "luma", source={"duration": 5}, to=20), sources=gone).due is not None
    assert planned(home_of(tmp_path, "luma", steps=2), sources=gone).due is not None


@pytest.mark.parametrize("provider", ["vidu", "luma"])
def test_a_file_of_an_unknown_kind_blocks_the_next_hop(provider: str, tmp_path: Path) -> None:
    config = home_of(tmp_path, provider, steps=2)
    strange = attempt(config, "v", output_kind="unknown", probed_duration_ms=9_000)
    held(planned(config, strange), BlockReason.UNKNOWN_KIND)
    known = attempt(config, "v", output_kind="full", probed_duration_ms=9_000)
    assert planned(config, known).due is not None
