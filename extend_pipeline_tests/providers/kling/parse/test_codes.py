"""What each of Kling's codes means for a submit and for a query."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.kling.parse import parse_page
from extend_pipeline.providers.protocol import (
    Duplicate,
    NotFound,
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
    Unknown,
)
from extend_pipeline.providers.wire.codes import RULES
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.bodies import failure
from extend_pipeline_tests.providers.kling.parse.outcomes import ID, OWN, query, submit

CODES = [
    (401, 1000, RejectReason.AUTH, QueryFault.AUTH),
    (401, 1001, RejectReason.AUTH, QueryFault.AUTH),
    (401, 1002, RejectReason.AUTH, QueryFault.AUTH),
    (401, 1003, RejectReason.AUTH, QueryFault.AUTH),
    (401, 1004, RejectReason.AUTH, QueryFault.AUTH),
    (429, 1100, RejectReason.BALANCE, QueryFault.BALANCE),
    (429, 1101, RejectReason.BALANCE, QueryFault.BALANCE),
    (429, 1102, RejectReason.BALANCE, QueryFault.BALANCE),
    (403, 1103, RejectReason.FORBIDDEN, QueryFault.FORBIDDEN),
    (400, 1200, RejectReason.BAD_REQUEST, QueryFault.MALFORMED),
    (404, 1202, RejectReason.BAD_REQUEST, QueryFault.MALFORMED),
    (404, 1203, RejectReason.NOT_FOUND, None),
    (400, 1300, RejectReason.CONTENT, QueryFault.MALFORMED),
    (400, 1301, RejectReason.CONTENT, QueryFault.MALFORMED),
    (429, 1302, RejectReason.RATE, QueryFault.RATE),
    (429, 1303, RejectReason.SLOTS, QueryFault.RATE),
    (429, 1304, RejectReason.FORBIDDEN, QueryFault.FORBIDDEN),
    (500, 5000, None, QueryFault.UPSTREAM),
    (503, 5001, None, QueryFault.UPSTREAM),
    (504, 5002, None, QueryFault.UPSTREAM),
]


def test_the_table_has_every_code() -> None:
    assert {code for _, code, _, _ in CODES} | {1201} == set(RULES)


@pytest.mark.parametrize(("status", "code", "reason", "_fault"), CODES)
def test_a_code_decides_what_became_of_a_submit(
    status: int, code: int, reason: RejectReason | None, _fault: object
) -> None:
    message = "Account balance not enough"
    outcome = submit(status, failure(code, message))
    if reason is None:
        assert isinstance(outcome, Unknown)
        return
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.retry_after_s) == (reason, 3.0)
    assert message in outcome.answer.message
    assert (outcome.answer.code, outcome.answer.http_status, outcome.answer.request_id) == (
        str(code),
        status,
        "r-2",
    )


@pytest.mark.parametrize(("_status", "code", "reason", "_fault"), [row for row in CODES if row[2]])
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429])
def test_the_http_status_does_not_change_what_a_code_says(
    status: int, _status: int, code: int, reason: RejectReason, _fault: object
) -> None:
    for form in (code, str(code)):
        outcome = submit(status, failure(form, data=None))
        assert isinstance(outcome, Rejected)
        assert outcome.reason is reason


@pytest.mark.parametrize(("status", "code", "_reason", "fault"), CODES)
def test_a_code_decides_what_a_query_learned(status: int, code: int, _reason: object, fault: QueryFault | None) -> None:
    outcome = query(status, failure(code))
    page = parse_page(RawResponse(status, failure(code)))
    if fault is None:
        assert isinstance(outcome, NotFound)
        assert isinstance(page, QueryFailed)
        return
    assert isinstance(outcome, QueryFailed)
    assert isinstance(page, QueryFailed)
    assert (outcome.fault, page.fault, outcome.retry_after_s) == (fault, fault, 3.0)


@pytest.mark.parametrize(
    "message",
    [
        "external_task_id already exists",
        "The external task id is duplicated",
        "Duplicate request",
        f"invalid value '{OWN}'",
        "自定义任务ID重复",
        "external_task_id x of video_id y is in use",
        "parameter value is invalid",
        "",
    ],
)
def test_1201_that_may_be_about_our_own_key_is_a_duplicate(message: str) -> None:
    assert isinstance(submit(400, failure(1201, message)), Duplicate)


@pytest.mark.parametrize(
    "message",
    [
        "video_id is invalid",
        "Prompt must not exceed 2500 characters",
        "cfg_scale value '2' is invalid",
        "invalid callback_url",
    ],
)
def test_1201_that_names_another_field_is_a_bad_request(message: str) -> None:
    outcome = submit(400, failure(1201, message))
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.BAD_REQUEST
    assert outcome.answer.message == message


def test_1201_beside_a_task_is_unknown_and_not_a_duplicate() -> None:
    assert isinstance(submit(400, failure(1201, "duplicate", data={"task_id": ID})), Unknown)
