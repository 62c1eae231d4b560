"""What will be gone upstream is fetched first, and reported in time: at half its keeping time and in its last hour."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.fetch.retention import HOUR_MS, Urgency, urgency_of
from extend_pipeline.engine.polling.apply_task_state import success_data
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.protocol import Output, TaskState, TaskView
from extend_pipeline.providers.wire.json import LATEST_MS
from extend_pipeline.providers.wire.presigned import presigned_expiry_ms
from extend_pipeline_tests.support.home.engine_home import (
    DAY_MS,
    EngineHome,
    JumpClock,
    account,
    drive,
    entry,
    eventually,
    source_id,
)
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.user_texts import check_user_text

NOW = 1_795_000_000_000
NO_DOWNLOAD = {"kind": "5xx_before", "where": "download", "times": 9999}


@pytest.mark.parametrize(
    ("life_h", "age_h", "expected"),
    [
        (24, 0, Urgency.EARLY),
        (24, 11.9, Urgency.EARLY),
        (24, 12, Urgency.SOON),
        (24, 22.9, Urgency.SOON),
        (24, 23, Urgency.LAST_HOUR),
        (24, 24, Urgency.OVER),
        (1, 0.1, Urgency.EARLY),  # a URL that lives for an hour is not urgent at once
        (1, 0.5, Urgency.LAST_HOUR),
        (720, 360, Urgency.SOON),
    ],
)
def test_how_soon_a_result_ends(life_h: float, age_h: float, expected: Urgency) -> None:
    now = int(age_h * HOUR_MS)
    assert urgency_of(begun_ms=0, ends_ms=int(life_h * HOUR_MS), now_ms=now) is expected


def test_a_result_whose_fetch_is_refused_is_urgent_at_once() -> None:
    ends_ms = 24 * HOUR_MS
    assert urgency_of(begun_ms=0, ends_ms=ends_ms, now_ms=1, refused=True) is Urgency.SOON
    assert urgency_of(begun_ms=0, ends_ms=HOUR_MS, now_ms=1, refused=True) is Urgency.LAST_HOUR
    assert urgency_of(begun_ms=0, ends_ms=ends_ms, now_ms=ends_ms, refused=True) is Urgency.OVER


@given(st.integers(0, 10**12), st.integers(1, 10**10), st.lists(st.integers(0, 2 * 10**10), min_size=2))
def test_urgency_only_ever_rises(begun: int, life: int, ages: list[int]) -> None:
    order = list(Urgency)
    urgencies = [urgency_of(begun_ms=begun, ends_ms=begun + life, now_ms=begun + age) for age in sorted(ages)]
    assert urgencies == sorted(urgencies, key=order.index)


@pytest.mark.parametrize(
    ("updated_ms", "expires_ms", "kept_until"),
    [
        (NOW - HOUR_MS, None, NOW - HOUR_MS + 30 * DAY_MS),
        (None, None, NOW + 30 * DAY_MS),
        (NOW + HOUR_MS, None, NOW + 30 * DAY_MS),  # a clock ahead of ours
        (LATEST_MS, None, NOW + 30 * DAY_MS),  # as written for "never"; 30 days later no calendar goes
        (NOW, NOW + HOUR_MS, NOW + HOUR_MS),
    ],
)
def test_every_paid_result_has_an_end(updated_ms: int | None, expires_ms: int | None, kept_until: int) -> None:
    output = Output(url="https://cdn.example/a.mp4", video_id="1", watermark_url=None, duration_ms=None)
    view = TaskView(
        "t", TaskState.SUCCEEDED, "succeed", outputs=(output,), updated_ms=updated_ms, expires_ms=expires_ms
    )
    ends = success_data("kling", view, NOW)["expires_at"]
    assert ends == kept_until
    assert from_ms(kept_until)


@pytest.mark.parametrize(
    ("date", "seconds", "ends"),
    [
        ("20260101T000000Z", "3600", 1_767_229_200_000),
        ("99991231T235959Z", "0", LATEST_MS - 999),
        ("99991231T235959Z", "9999999", None),
        ("20261301T000000Z", "3600", None),
        ("20260101T000000Z", "-1", None),
    ],
)
def test_a_urls_expiry_is_read_from_its_query(date: str, seconds: str, ends: int | None) -> None:
    assert presigned_expiry_ms(f"https://cdn.example/a.mp4?X-Amz-Date={date}&X-Amz-Expires={seconds}") == ends


def test_a_paid_result_that_can_not_be_fetched_is_reported_twice(home: EngineHome) -> None:
    home.write([planted(home, "vidu", 0)], other_account("vidu", home.sandbox.base_url))
    clock = JumpClock()
    with home.open(clock) as pipeline:

        def round_() -> list[str]:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                return list(connection.execute(select(tables.attempts.c.state)).scalars())

        advance(pipeline, publish=False)  # fetches the source before the server falters
        home.sandbox.faults([NO_DOWNLOAD])
        eventually(lambda: "succeeded" in round_())
        assert status(pipeline).expiring == ()
        clock.skip(13 * HOUR_MS)
        advance(pipeline, publish=False)
        (soon,) = status(pipeline).expiring
        assert (soon.what, soon.where, soon.urgency) == ("result", "vidu-0/1", Urgency.SOON)
        check_user_text(soon.describe(clock()))
        assert "HTTP 500" in soon.note
        clock.skip(10.5 * HOUR_MS)
        (late,) = status(pipeline).expiring
        assert late.urgency is Urgency.LAST_HOUR
        check_user_text(late.describe(clock()))
        assert status(pipeline).exit_code == 1
        home.sandbox.clear_faults()
        clock.skip(600_000)
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert status(pipeline).expiring == ()


def test_downloads_go_soonest_ending_first(home: EngineHome) -> None:
    entries = [planted(home, "vidu", number) for number in range(2)]
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    entries.append(entry("kling-0", source_id(0)))
    home.options["max_downloads"] = 1
    home.write(entries, account(home.sandbox.base_url), other_account("vidu", home.sandbox.base_url))
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        home.sandbox.faults([NO_DOWNLOAD])

        def all_paid() -> bool:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                states = list(connection.execute(select(tables.attempts.c.state)).scalars())
            return states == ["succeeded"] * 3

        eventually(all_paid)
        home.sandbox.clear_faults()
        clock.skip(600_000)
        advance(pipeline, submit=False, publish=False)
        with pipeline.ledger.read() as connection:
            table = tables.events
            query = select(table.c.video_key).where(table.c.kind == "attempt_stored").order_by(table.c.seq)
            stored = list(connection.execute(query).scalars())
    assert sorted(stored[:2]) == ["vidu-0", "vidu-1"]  # 24 hours
    assert stored[2] == "kling-0"  # 30 days


def test_a_source_is_reported_in_its_last_week_and_blocks_afterwards(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    video = entry("v", source_id(0), steps=2)
    clock = JumpClock()
    home.write([video], account(home.sandbox.base_url, budget={"per_day": 2, "total": 2}))
    with home.open(clock) as pipeline:
        drive(pipeline)  # the budget is for one hop
        assert status(pipeline).expiring == ()
        clock.skip(24 * DAY_MS)
        (ending,) = status(pipeline).expiring
        assert (ending.what, ending.where, ending.urgency) == ("source", "hop 1 of v", Urgency.SOON)
        assert "5 days left" in ending.describe(clock()) or "6 days left" in ending.describe(clock())
        clock.skip(7 * DAY_MS)
        assert status(pipeline).expiring == ()
