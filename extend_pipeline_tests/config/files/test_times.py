"""The time when a source was made, as users and spreadsheets write it: unambiguous, or refused with an example."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extend_pipeline.config.model.catalogue import root_source
from extend_pipeline_tests.config.written import NOW, entry, load, only_problem, source, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

EIGHT = datetime(2026, 11, 1, 8, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


def written(folder: Path, value: str) -> Path:
    """Write a home with one source that was made at `value`."""
    return write_home(folder, entry(source=source(created_at=value)))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-11-01T08:00:00Z", EIGHT),
        ("2026-11-01 08:00Z", EIGHT),
        ("2026-11-01T16:00:00+08:00", EIGHT),
        ("2026-10-31T22:30:00-09:30", EIGHT),
        ("1793520000000", EIGHT),
        ("1793520000", EIGHT),
        ("2026-11-01", MIDNIGHT),
        ("'2026-11-01 '", MIDNIGHT),
        ("1.11.2026", MIDNIGHT),
        ("01. 11. 2026", MIDNIGHT),
        ("2026/11/1", MIDNIGHT),
        ("01.11.2026 08:00Z", EIGHT),
    ],
)
def test_an_unambiguous_time_is_read_and_a_day_alone_is_midnight_utc_with_a_note(
    value: str, read: datetime, tmp_path: Path
) -> None:
    configuration = load(written(tmp_path, value))
    assert root_source(configuration.catalogue.videos["one"], configuration.catalogue.videos).created_at == read
    notes = [note for note in configuration.notes if "catalog.yaml:3 (" in note and "2026-11-01" in note]
    assert len(notes) == (read == MIDNIGHT)


@pytest.mark.parametrize(
    ("value", "day"), [("20/11/2026", 20), ("11/20/2026", 20), ("20-11-2026", 20), ("11/11/2026", 11)]
)
def test_slashes_are_accepted_where_the_numbers_allow_one_day_only(value: str, day: int, tmp_path: Path) -> None:
    configuration = load(written(tmp_path, value))
    assert root_source(configuration.catalogue.videos["one"], configuration.catalogue.videos).created_at == datetime(
        2026, 11, day, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "value",
    [
        "31.11.2026",
        "13/13/2026",
        "1.11.26",
        "11/01/2026",
        "11-12-2026",
        "'01.11.2026 08:00'",
        "01.11.20261",
        "01-Nov-2026",
        "2026-11-31",
        "2026-13-01",
        "46327",
        "46327.5",
        "20261101",
        "2026-11",
        "2026-11-01T25:00:00Z",
        "2026-11-01T08:00:00",
        "2026-11-01T08:00:00 CET",
        "'2026-11-01 08:00 UTC'",
        "-1",
        "NaN",
        "99999999999999999999",
    ],
)
def test_an_ambiguous_or_invalid_time_is_refused_with_an_example(value: str, tmp_path: Path) -> None:
    problem = only_problem(written(tmp_path, value))
    assert (problem.file, problem.line, problem.subject, problem.field) == (
        "catalog.yaml",
        3,
        "one",
        "source.created_at",
    )
    check_user_text(problem.text())
    assert problem.given == value.strip("'")
    assert problem.hint


def test_a_source_of_tomorrow_is_refused_and_one_of_this_evening_is_accepted_with_a_note(tmp_path: Path) -> None:
    evening, tomorrow = NOW + timedelta(hours=14), NOW + timedelta(hours=25)
    configuration = load(written(tmp_path / "evening", evening.isoformat()))
    assert root_source(configuration.catalogue.videos["one"], configuration.catalogue.videos).created_at == evening
    (note,) = configuration.notes
    check_user_text(note)
    assert only_problem(written(tmp_path / "tomorrow", tomorrow.isoformat())).field == "source.created_at"


def test_five_hundred_days_alone_are_one_note(tmp_path: Path) -> None:
    rows = [f"v{n},kling-main,82{n},kling-v1-6,std,5,2026-11-02,30" for n in range(500)]
    header = "key,account,source.video_id,source.model,source.mode,source.duration,source.created_at,extend.to"
    (note,) = load(write_home(tmp_path, table="\n".join([header, *rows]))).notes
    assert "catalog.csv:2 (2026-11-02)" in note
    assert "497 more" in note
