"""Manual materializations: one partition, a backfill of three, and runs that end incomplete."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place, open_place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

DANCE = "the cat dances"
TRICKY = "the *fog* lifts <img src=x onerror=alert(1)> [link](http://example.com)"
KEYS = ["a-dawn", "b-cat", "c-robot"]


@pytest.fixture(scope="module")
def three_videos(tmp_path_factory: pytest.TempPathFactory, sandbox: SandboxHandle) -> Iterator[Place]:
    """Yield a place with three videos and their partitions, with nothing submitted yet."""
    with open_place(tmp_path_factory.mktemp("assets") / "home", sandbox) as place:
        first, second, third = KEYS
        place.write(
            [
                video(first, extend={"steps": 2, "prompt": TRICKY}),
                video(second, extend={"to": 12, "prompt": DANCE}),
                video(third, extend={"steps": 1, "prompt": "the robot walks on"}),
            ]
        )
        place.sensor("catalog_sensor")
        assert place.instance.get_dynamic_partitions("videos") == KEYS
        yield place


def _by_partition(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dg.AssetMaterialization]:
    """Return a run's materializations of an asset by partition."""
    events = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    materializations = {str(event.partition): event.materialization for event in events}
    assert len(materializations) == len(events), "a run materialized a partition twice"
    return materializations


@pytest.fixture(scope="module")
def manual_run(three_videos: Place) -> dg.ExecuteInProcessResult:
    """Return the result of a manual run for one partition of completed_extensions."""
    return three_videos.materialise("completed_extensions", keys=KEYS[:1])


@pytest.fixture(scope="module")
def backfill(three_videos: Place, manual_run: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    """Return the result of a later backfill of all three assets over all three partitions."""
    assert manual_run.success
    return three_videos.materialise("source_videos", "extension_requests", "completed_extensions", keys=KEYS)


def test_one_partition_is_extended_to_its_target(manual_run: dg.ExecuteInProcessResult) -> None:
    assert manual_run.success
    (materialization,) = _by_partition(manual_run, "completed_extensions").values()
    assert materialization.partition == KEYS[0]
    metadata = {name: entry.value for name, entry in materialization.metadata.items()}
    assert metadata["hop"] == 2
    assert metadata["source_duration_s"] == pytest.approx(5.1)
    assert metadata["duration_after_s"] - metadata["duration_before_s"] == pytest.approx(4.5, abs=0.6)
    assert metadata["units"] == "2 kling-unit"
    assert metadata["amount"] == "0.28 USD (reported)"
    check_user_text(metadata["spent_in_all"])
    assert metadata["provider"] == "kling"
    assert Path(metadata["file"]).is_file()
    assert [record.data["hop"] for record in metadata["hops"].records] == [1, 2]
    assert [record.data["task_id"] for record in metadata["hops"].records][1] == metadata["task_id"]


def test_the_poster_is_shown_inline_and_is_small(manual_run: dg.ExecuteInProcessResult) -> None:
    (materialization,) = _by_partition(manual_run, "completed_extensions").values()
    poster = materialization.metadata["poster"]
    assert isinstance(poster, dg.MarkdownMetadataValue)
    head, _, body = str(poster.value).partition("base64,")
    assert head.endswith("(data:image/jpeg;")
    jpeg = base64.b64decode(body.removesuffix(")"))
    assert jpeg[:2] == b"\xff\xd8"
    assert len(jpeg) <= 10_000


def test_previews_of_the_poster_are_short_enough_to_be_shown_without_a_click(
    manual_run: dg.ExecuteInProcessResult,
) -> None:
    (materialization,) = _by_partition(manual_run, "completed_extensions").values()
    names = list(materialization.metadata)
    assert names[:4] == ["poster_before", "poster_after", "poster_end", "poster"]
    for name in names[:3]:
        entry = materialization.metadata[name]
        assert isinstance(entry, dg.MarkdownMetadataValue)
        text = str(entry.value)
        assert len(text) < 1_000, "Dagster's UI shows longer markdown after a click"
        webp = base64.b64decode(text.partition("(data:image/webp;base64,")[2].removesuffix(")"))
        assert (webp[:4], webp[8:12]) == (b"RIFF", b"WEBP")


def test_the_page_begins_with_what_the_hop_did_and_cost(manual_run: dg.ExecuteInProcessResult) -> None:
    (materialization,) = _by_partition(manual_run, "completed_extensions").values()
    assert list(materialization.metadata)[4:14] == [
        "duration_before_s",
        "duration_after_s",
        "added_s",
        "units",
        "amount",
        "spent_in_all",
        "provider",
        "account",
        "task_id",
        "prompt",
    ]
    metadata = {name: entry.value for name, entry in materialization.metadata.items()}
    assert metadata["added_s"] == pytest.approx(metadata["duration_after_s"] - metadata["duration_before_s"])
    assert metadata["seam_psnr_db"] == metadata["hops"].records[-1].data["seam_psnr_db"]
    assert metadata["seam_psnr_db"] > 20


def test_a_prompt_is_shown_as_plain_text_and_never_in_markdown(manual_run: dg.ExecuteInProcessResult) -> None:
    (materialization,) = _by_partition(manual_run, "completed_extensions").values()
    assert materialization.metadata["prompt"] == dg.TextMetadataValue(TRICKY)
    shown_as_markdown = [
        entry.value for entry in materialization.metadata.values() if isinstance(entry, dg.MarkdownMetadataValue)
    ]
    assert all("onerror" not in str(text) for text in shown_as_markdown)


def test_a_backfill_over_three_partitions_is_one_run_with_a_materialization_for_each(
    three_videos: Place, backfill: dg.ExecuteInProcessResult
) -> None:
    assert backfill.success
    completed = _by_partition(backfill, "completed_extensions")
    assert sorted(completed) == KEYS
    assert all("poster" in materialization.metadata for materialization in completed.values())
    assert completed[KEYS[1]].metadata["prompt"].value == DANCE
    assert len({(materialization.tags or {})["dagster/data_version"] for materialization in completed.values()}) == 3
    assert sorted(_by_partition(backfill, "extension_requests")) == KEYS
    sources = _by_partition(backfill, "source_videos")
    assert sources[KEYS[1]].metadata["target"].value == "12 s"
    assert sources[KEYS[2]].metadata["target"].value == "1 extension"
    assert {event.partition for event in backfill.get_asset_materialization_events()} == set(KEYS)


def test_a_complete_video_is_not_paid_again_and_keeps_its_data_version(
    three_videos: Place, manual_run: dg.ExecuteInProcessResult, backfill: dg.ExecuteInProcessResult
) -> None:
    before = _by_partition(manual_run, "completed_extensions")[KEYS[0]]
    after = _by_partition(backfill, "completed_extensions")[KEYS[0]]
    assert (before.tags or {})["dagster/data_version"] == (after.tags or {})["dagster/data_version"]
    assert three_videos.submits(KEYS[0]) == 1
    assert three_videos.sandbox.charges()["double"] == []


def test_the_instance_lists_the_partitions_as_materialized(
    three_videos: Place, backfill: dg.ExecuteInProcessResult
) -> None:
    assert backfill.success
    for asset in ("source_videos", "extension_requests", "completed_extensions"):
        assert set(three_videos.instance.get_materialized_partitions(dg.AssetKey(asset))) == set(KEYS)


def test_an_incomplete_run_fails_with_the_missing_videos_and_keeps_what_was_done(place: Place) -> None:
    fine, expired, removed = video("fine", extend=ONE_HOP), video("old"), video("zz-gone")
    expired["source"] = {**expired["source"], "created_at": "2020-01-01T00:00:00Z"}
    place.write([fine, expired, removed])
    place.sensor("catalog_sensor")
    place.write([fine, expired])
    result = place.materialise("completed_extensions", keys=["fine", "old", "zz-gone"], max_seconds=20)
    assert not result.success
    assert list(_by_partition(result, "completed_extensions")) == ["fine"]
    error = result.failure_data_for_node("extend_videos")
    assert error is not None
    assert error.user_failure_data is not None
    description = str(error.user_failure_data.description)
    assert "2020-01-31" in description
    check_user_text(description)
    assert error.user_failure_data.metadata["missing"].value == 2


def test_a_run_out_of_time_fails_and_the_next_goes_on_without_paying_again(place: Place) -> None:
    place.write([video("slow-one", extend=ONE_HOP)], poll={"first_after": 30, "every": 30})
    place.sensor("catalog_sensor")
    first = place.materialise("completed_extensions", keys=["slow-one"], max_seconds=0.5)
    assert not first.success
    error = first.failure_data_for_node("extend_videos")
    assert error is not None
    assert error.user_failure_data is not None
    check_user_text(str(error.user_failure_data.description))
    requests = place.materialise("extension_requests", keys=["slow-one"])
    assert requests.success, "a hop under way is a request"
    assert _by_partition(requests, "extension_requests")["slow-one"].metadata["state"].value == "submitted"
    assert place.submits("slow-one") == 1


def test_a_request_submits_only_the_next_hop(place: Place) -> None:
    place.write([video("steps", extend={"steps": 3, "prompt": "x"})], poll={"first_after": 30, "every": 30})
    place.sensor("catalog_sensor")
    result = place.materialise("extension_requests", keys=["steps"])
    metadata = _by_partition(result, "extension_requests")["steps"].metadata
    assert (metadata["hop"].value, metadata["attempts"].value) == (1, 1)
    assert metadata["reserved"].value == "2 kling-unit"


def test_a_mistake_in_the_catalogue_fails_the_run_with_all_mistakes_and_no_secret(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write([video("one"), video("two")])
    place.sensor("catalog_sensor")
    place.write([video("one", extend={"steps": 0, "prompt": "x"}), video("two", account="unlisted")])
    result = place.materialise("completed_extensions", keys=["one"])
    error = result.failure_data_for_node("extend_videos")
    assert error is not None
    assert error.user_failure_data is not None
    description = str(error.user_failure_data.description)
    assert "sandbox-secret" not in description
    check_user_text(description)
