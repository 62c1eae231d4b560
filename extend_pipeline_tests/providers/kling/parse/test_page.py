"""Pages of Kling's list: rows that can't be read are counted, and only a list without rows is the end."""

from __future__ import annotations

import json

import pytest

from extend_pipeline.providers.kling.parse import parse_page
from extend_pipeline.providers.protocol import (
    Page,
    QueryFailed,
    QueryFault,
    TaskState,
)
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.bodies import DONE, LIST, body, done, envelope
from extend_pipeline_tests.providers.kling.parse.outcomes import ID


def test_the_documents_list_answer_is_a_page_as_it_stands() -> None:
    page = parse_page(RawResponse(200, body(LIST)))
    assert isinstance(page, Page)
    assert (len(page.views), page.malformed, page.rows) == (1, 0, 1)


def test_a_page_counts_the_rows_that_can_not_be_read() -> None:
    page = parse_page(RawResponse(200, envelope([DONE, None, {"task_id": ""}, "x", done(task_id=827942411241803823)])))
    assert isinstance(page, Page)
    assert [view.task_id for view in page.views] == [ID, "827942411241803823"]
    assert (page.malformed, page.rows) == (3, 5)


def test_rows_of_other_tasks_are_counted_and_not_read() -> None:
    rows = [DONE, done(task_id="827942411241803824"), done(task_id=827942411241803823), None]
    page = parse_page(RawResponse(200, envelope(rows)), only={ID, "827942411241803823"})
    assert isinstance(page, Page)
    assert [view.task_id for view in page.views] == [ID, "827942411241803823"]
    assert (page.malformed, page.rows) == (1, 4)


@pytest.mark.parametrize("only", [None, {ID}], ids=["all", "of a poll"])
@pytest.mark.parametrize(
    ("changed", "state", "warns"),
    [
        ({}, TaskState.PROCESSING, False),
        ({"task_status": "submitted", "task_result": {}}, TaskState.SUBMITTED, False),
        ({"task_status": "submitted", "final_unit_deduction": ""}, TaskState.SUBMITTED, False),
        ({"task_status": " Processing "}, TaskState.PROCESSING, False),
        ({"final_unit_deduction": "2"}, TaskState.PROCESSING, False),
        ({"final_unit_deduction": "two"}, TaskState.PROCESSING, True),
        ({"task_result": {"videos": [{"url": "https://films.example/1.mp4"}]}}, TaskState.PROCESSING, False),
        ({"task_result": {"videos": [{"id": "1"}]}}, TaskState.PROCESSING, True),
        ({"task_status": "reviewing"}, TaskState.PROCESSING, True),
        ({"task_status": "succeed"}, TaskState.PROCESSING, True),
        ({"task_status": 7}, TaskState.PROCESSING, True),
        ({"task_status": "failed"}, TaskState.FAILED, False),
    ],
)
def test_a_poll_reads_of_a_running_task_what_a_whole_row_says(
    changed: dict[str, object], state: TaskState, warns: bool, only: set[str] | None
) -> None:
    row = done(**{"task_status": "processing", "task_result": {"videos": None}, "final_unit_deduction": None} | changed)
    page = parse_page(RawResponse(200, envelope([row])), only=only)
    assert isinstance(page, Page)
    (view,) = page.views
    assert (view.task_id, view.state, bool(view.warnings), view.created_ms) == (ID, state, warns, row["created_at"])


def test_only_a_failed_row_of_a_page_is_kept_as_evidence() -> None:
    failed = done(task_id="827942411241803823", task_status="failed")
    page = parse_page(RawResponse(200, envelope([DONE, failed])))
    assert isinstance(page, Page)
    assert page.views[0].raw == ""
    assert json.loads(page.views[1].raw)["task_id"] == "827942411241803823"


def test_an_empty_page_is_the_end_and_a_page_without_a_list_is_not() -> None:
    assert parse_page(RawResponse(200, envelope([]))) == Page((), 0, 0)
    broken: list[object] = [None, {}, {"list": []}, "x"]
    for data in broken:
        outcome = parse_page(RawResponse(200, envelope(data)))
        assert isinstance(outcome, QueryFailed)
        assert outcome.fault is QueryFault.MALFORMED
