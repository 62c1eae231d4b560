"""What Kling's response to a query says of a task, and which responses say nothing of it."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.protocol import (
    Found,
    Output,
    QueryFailed,
    QueryFault,
    TaskState,
)
from extend_pipeline_tests.providers.kling.bodies import DONE, SINGLE, body, done, envelope, failure
from extend_pipeline_tests.providers.kling.parse.outcomes import ID, OWN, query, seen
from extend_pipeline_tests.support.user_texts import check_user_text


def test_the_documents_query_answer_is_seen_as_it_stands() -> None:
    view = seen(body(SINGLE), requested="string")
    assert (view.task_id, view.external_task_id, view.parent_video_id) == ("string", "string", "string")
    assert view.state is TaskState.PROCESSING  # "string" is no status
    assert view.outputs == ()  # and "string" no URL
    assert view.units_micros is None
    assert view.created_ms == 1722769557708


def test_a_finished_task_is_read_whole() -> None:
    view = seen(envelope(DONE))
    assert view.state is TaskState.SUCCEEDED
    assert view.outputs == (
        Output(
            url="https://v1.klingai.com/a.mp4?sig=abc",
            video_id="827942411241809999",
            watermark_url="https://v1.klingai.com/w.mp4",
            duration_ms=9600,
        ),
    )
    assert (view.parent_duration_ms, view.units_micros) == (5100, 3_500_000)
    assert (view.created_ms, view.updated_ms) == (1722769557708, 1722769857708)
    assert (view.external_task_id, view.warnings) == (OWN, ())
    assert "final_balance_deduction" in view.raw


@pytest.mark.parametrize(
    ("status", "content", "fault"),
    [
        (404, b"", QueryFault.MALFORMED),
        (404, b"<html><title>404</title></html>", QueryFault.MALFORMED),
        (404, body({"error": "not found"}), QueryFault.MALFORMED),
        (404, body({"code": 1203}), QueryFault.MALFORMED),
        (404, failure(1203, data={"task_id": ID}), QueryFault.MALFORMED),
        (400, failure(1201, "task not found"), QueryFault.MALFORMED),
        (500, failure(1203), QueryFault.MALFORMED),
        (502, b"<html>", QueryFault.UPSTREAM),
        (504, b"", QueryFault.UPSTREAM),
        (408, b"", QueryFault.UPSTREAM),
        (429, b"slow down", QueryFault.RATE),
        (401, b"", QueryFault.AUTH),
        (302, b"", QueryFault.MALFORMED),
        (200, b"<html>", QueryFault.MALFORMED),
        (200, envelope(None), QueryFault.MALFORMED),
        (200, envelope({}), QueryFault.MALFORMED),
        (200, envelope([]), QueryFault.MALFORMED),
        (200, envelope([DONE]), QueryFault.MALFORMED),
        (200, envelope(DONE)[:-20], QueryFault.MALFORMED),
    ],
)
def test_an_unclear_answer_is_neither_seen_nor_absent(status: int, content: bytes, fault: QueryFault) -> None:
    outcome = query(status, content)
    assert isinstance(outcome, QueryFailed)
    assert outcome.fault is fault
    assert outcome.answer.message


def test_an_answer_about_another_task_is_not_taken_for_ours() -> None:
    assert isinstance(query(200, envelope(done(task_id="999"))), QueryFailed)
    assert isinstance(query(200, envelope(DONE), requested="another-key", own_key=True), QueryFailed)


def test_a_look_up_by_our_own_id_is_seen_with_a_warning_where_the_answer_does_not_repeat_it() -> None:
    outcome = query(200, envelope(DONE), requested=OWN, own_key=True)
    assert isinstance(outcome, Found)
    assert outcome.view.warnings == ()
    silent = query(200, envelope(done(task_info={})), requested=OWN, own_key=True)
    assert isinstance(silent, Found)
    assert "own id" in silent.view.warnings[0]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("submitted", TaskState.SUBMITTED),
        ("processing", TaskState.PROCESSING),
        ("succeed", TaskState.SUCCEEDED),
        ("succeeded", TaskState.SUCCEEDED),
        ("SUCCEED", TaskState.SUCCEEDED),
        (" failed ", TaskState.FAILED),
    ],
)
def test_documented_statuses_are_known(status: str, state: TaskState) -> None:
    view = seen(envelope(done(task_status=status)))
    assert (view.state, view.warnings) == (state, ())


@pytest.mark.parametrize("status", ["queueing", "", None, 7, ["succeed"], "成功"])
def test_an_unknown_status_is_still_running_with_a_warning(status: object) -> None:
    view = seen(envelope(done(task_status=status)))
    assert view.state is TaskState.PROCESSING
    assert "not documented" in view.warnings[0]


@pytest.mark.parametrize(
    "result",
    [
        None, {}, [], "x", {"videos": None}, {"videos": []}, {"videos": "x"}, {"videos": [None]}, {"videos": [{}]},
        {"videos": [{"id": "1", "url": ""}]}, {"videos": [{"id": "1", "url": None}]}, {"videos": [{"url": 5}]},
        {"videos": [{"url": "ftp://a/b"}]}, {"videos": [{"url": "https://a b"}]}, {"videos": [{"url": "https://a/\x00"}]},
    ],
)  # fmt: skip
def test_a_success_without_a_url_is_not_a_success(result: object) -> None:
    view = seen(envelope(done(task_result=result)))
    assert view.state is TaskState.PROCESSING
    assert view.warnings
    check_user_text("\n".join(view.warnings))


def test_a_video_without_an_id_is_kept_and_a_single_video_without_its_list_too() -> None:
    view = seen(envelope(done(task_result={"videos": {"url": "https://a.b/c.mp4"}})))
    assert view.state is TaskState.SUCCEEDED
    assert view.outputs == (Output("https://a.b/c.mp4", None, None, None),)


@pytest.mark.parametrize(
    ("units", "micros", "warned"),
    [
        ("2", 2_000_000, 0),
        ("3.5", 3_500_000, 0),
        ("", None, 0),
        (None, None, 0),
        ("many", None, 1),
        ({}, None, 1),
        ("-1", None, 1),
    ],
)
def test_units_are_read_or_left_open(units: object, micros: int | None, warned: int) -> None:
    view = seen(envelope(done(final_unit_deduction=units)))
    assert (view.units_micros, len(view.warnings)) == (micros, warned)


def test_the_external_id_is_found_at_the_top_level_too() -> None:
    assert seen(envelope(done(task_info=None, external_task_id="top"))).external_task_id == "top"


def test_a_refusal_after_acceptance_keeps_the_providers_reason() -> None:
    reason = "Failure to pass the risk control"
    view = seen(envelope(done(task_status="failed", task_status_msg=reason, task_result={})))
    assert view.state is TaskState.FAILED
    assert view.message == reason
    assert view.warnings == ()


def test_a_second_document_and_a_byte_order_mark_are_no_trouble() -> None:
    assert seen(b"\xef\xbb\xbf" + envelope(DONE) + failure(5000)).state is TaskState.SUCCEEDED
