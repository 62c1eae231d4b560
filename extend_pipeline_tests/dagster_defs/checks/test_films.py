"""The checks of films report those of a month, of videos in the catalogue, so that they don't stay yellow for ever."""

from __future__ import annotations

import duckdb
import pytest

from extend_pipeline.dagster_defs.checks.films import RECENT_DAYS, durations_grew, seams_hold
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video

SPOIL = "UPDATE completed_extensions SET added_duration_s = 0.2, seam_psnr_db = 9"
SHORTEN = "UPDATE source_videos SET target_s = 60, current_duration_s = 9"


def findings(place: Place, *statements: str) -> list[tuple[bool, object, object]]:
    """Return of both checks, after changes of the published file: whether it passes, and its findings and those in
    all."""
    with place.resource.open() as pipeline:
        with duckdb.connect(str(pipeline.settings.warehouse_path)) as connection:
            for statement in statements:
                connection.execute(statement)
        results = [check(pipeline) for check in (durations_grew, seams_hold)]
    return [(r.passed, r.metadata["findings"].value, r.metadata["findings_in_all"].value) for r in results]


def test_a_film_is_reported_for_a_month_and_counted_for_ever(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    assert place.advance().success
    assert findings(place) == [(True, 0, 0)] * 2
    assert findings(place, SPOIL, SHORTEN) == [(False, 4, 4), (False, 2, 2)]
    older = "UPDATE completed_extensions SET stored_at = stored_at - INTERVAL {} DAY WHERE video_key = 'one'"
    assert findings(place, older.format(RECENT_DAYS - 1)) == [(False, 4, 4), (False, 2, 2)]
    assert findings(place, older.format(1)) == [(False, 2, 4), (False, 1, 2)]
    withdrawn = "UPDATE source_videos SET state = 'withdrawn' WHERE video_key = 'two'"
    assert findings(place, withdrawn) == [(True, 0, 3), (True, 0, 2)]


@pytest.mark.parametrize("check", [durations_grew, seams_hold])
def test_the_page_of_a_check_names_the_days(check: object) -> None:
    assert f" {RECENT_DAYS} days" in (check.__doc__ or "")
