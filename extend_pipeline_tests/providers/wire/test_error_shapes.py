"""Every shape of error body, and what it proves: the provider's message, and whether no task was created."""

from __future__ import annotations

import json

import pytest

from extend_pipeline.providers.protocol import QueryFault, Rejected, RejectReason, Unknown
from extend_pipeline.providers.wire.errors import (
    GATEWAY_STATUSES,
    has_task_id,
    is_task_not_found,
    read_error,
    rule_for,
)
from extend_pipeline.providers.wire.response import RawResponse, classify_rejection, parse_response
from extend_pipeline_tests.providers.wire.upstream_bodies import body

WORDS = "the words of the provider"
SHAPES: dict[str, object] = {
    "kling": {"code": 400, "message": WORDS, "request_id": "r", "data": None},
    "error object": {"error": {"message": WORDS, "type": "invalid_request_error", "param": "", "code": "x"}},
    "code as text": {"code": "invalid_request", "message": WORDS, "data": None},
    "error as text": {"error": WORDS},
    "detail as text": {"detail": WORDS},
    "detail as object": {"detail": {"message": WORDS, "code": "x"}},
    "detail as list": {"detail": [{"loc": ["body", "video_id"], "msg": WORDS}]},
    "success false": {"success": False, "error": {"code": "x", "message": WORDS}},
    "success false alone": {"success": False, "message": WORDS},
}


def reason(status: int, content: object, raw: bytes | None = None) -> RejectReason | None:
    outcome = classify_rejection(
        parse_response(RawResponse(status, body(content) if raw is None else raw)), documented=GATEWAY_STATUSES
    )
    assert isinstance(outcome, Rejected | Unknown)
    return outcome.reason if isinstance(outcome, Rejected) else None


@pytest.mark.parametrize("shape", SHAPES)
def test_the_message_is_read_in_every_shape(shape: str) -> None:
    error = read_error(SHAPES[shape])
    assert error is not None
    assert error.message == WORDS
    outcome = classify_rejection(parse_response(RawResponse(400, body(SHAPES[shape]))), documented=GATEWAY_STATUSES)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.BAD_REQUEST
    assert outcome.answer.message.startswith(WORDS)


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "kling"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, RejectReason.AUTH),
        (403, RejectReason.FORBIDDEN),
        (404, RejectReason.NOT_FOUND),
        (429, RejectReason.RATE),
        (402, None),
        (405, None),
        (408, None),
        (409, None),
        (410, None),
        (422, None),
        (425, None),
        (500, None),
        (200, None),
        (302, None),
    ],
)
def test_the_status_decides_where_no_code_does(shape: str, status: int, expected: RejectReason | None) -> None:
    assert reason(status, SHAPES[shape]) is expected


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (403, {"error": {"message": "x", "code": "insufficient_user_quota"}}, RejectReason.BALANCE),
        (402, {"error": "Insufficient credits"}, RejectReason.BALANCE),
        (429, {"code": "quota_not_enough", "message": "x", "data": None}, RejectReason.BALANCE),
        (400, {"detail": "Insufficient credits"}, RejectReason.BALANCE),
        (400, {"detail": "the balance beam is too short"}, RejectReason.BAD_REQUEST),
        (400, {"error": {"message": "内容违规", "code": "x"}}, RejectReason.CONTENT),
        (400, {"error": {"message": "a concurrent rate of frames"}}, RejectReason.BAD_REQUEST),
        (429, {"error": {"message": "parallel task over resource pack limit"}}, RejectReason.SLOTS),
        (422, {"code": 1303, "message": "x"}, RejectReason.SLOTS),
        (400, {"error": {"message": "x", "code": 1301}}, RejectReason.CONTENT),
        (400, {"error": {"message": "x", "code": "1203"}}, RejectReason.NOT_FOUND),
        # undocumented numbers, the gateway's failures at its origin, and unreadable bodies
        (400, {"code": 1999, "message": "x"}, None),
        (429, {"code": 777, "message": "x"}, None),
        (401, {"code": 777, "message": "x"}, RejectReason.AUTH),
        (400, {"code": "fail_to_fetch_task", "message": "x", "data": None}, None),
        (400, {"error": {"message": "upstream answered with 400", "code": "bad_response_status_code"}}, None),
        (404, {"error": "request timed out"}, None),
        (400, {"error": {"data": 1}}, None),
        (400, {"error": True}, None),
        (400, {}, None),
        (400, [], None),
        (400, "no", None),
        (400, None, None),
        # a task beside the error
        (400, {"error": "x", "id": "5"}, None),
        (400, {"error": "x", "data": "5"}, None),
        (400, {"error": "x", "data": [{"task_id": 5}]}, None),
        (400, {"error": "x", "output": {"task_id": ["?"]}}, None),
        (400, {"error": "x", "data": {}}, RejectReason.BAD_REQUEST),
    ],
)
def test_codes_and_messages_decide_first(status: int, content: object, expected: RejectReason | None) -> None:
    assert reason(status, content) is expected


def test_a_message_never_makes_a_refusal_transient() -> None:
    for message in ("rate limit", "concurrent", "too many requests", "slots"):
        for status in (400, 401, 403, 404):
            refusal = reason(status, {"error": message})
            assert refusal is not None
            assert not refusal.transient


def test_html_and_cut_bodies_prove_nothing() -> None:
    for status in (400, 401, 403, 404, 429):
        for raw in (b"<html><title>403 Forbidden</title>", b'{"error": "x', b"", b"\xff\xfe"):
            assert reason(status, None, raw) is None


def test_of_two_documents_the_first_is_read() -> None:
    raw = json.dumps({"error": "first"}).encode() + b"\n" + json.dumps({"id": "5"}).encode()
    outcome = classify_rejection(parse_response(RawResponse(400, raw)), documented=GATEWAY_STATUSES)
    assert isinstance(outcome, Rejected)
    assert outcome.answer.message == "first"


@pytest.mark.parametrize(
    "value",
    [
        {"id": "5", "state": "pending"},
        {"code": 0, "message": "SUCCEED", "data": {}},
        {"code": "200", "message": "ok"},
        {"code": "success", "data": {}},
        {"code": "", "message": ""},
        {"error": None, "id": "5"},
        {"error": {}, "detail": ""},
        {"success": True, "data": {}},
        None,
        [{"error": "x"}],
    ],
)
def test_a_success_is_no_error(value: object) -> None:
    assert read_error(value) is None


def test_what_has_task_id() -> None:
    assert has_task_id({"data": {"id": "5"}})
    assert has_task_id({"gen_api_response": {"id": "5"}})
    assert not has_task_id({"request_id": "r", "data": None, "id": ""})
    assert not has_task_id([])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("task not found", True),
        ("task_not_exist", True),
        ("Generation not found", True),
        ("generation 5 does not exist", True),
        ("task_id 5 could not be found", True),
        ("generation is not found", True),
        ("the task's video was not found", False),
        ("no such task", True),
        ("任务不存在", True),
        ("Not Found", False),
        ("the model was not found", False),
        ("invalid URL", False),
    ],
)
def test_an_absence_has_to_speak_of_the_task(message: str, expected: bool) -> None:
    assert is_task_not_found(404, read_error({"error": message})) is expected
    assert not is_task_not_found(500, read_error({"error": message}))


def test_a_rule_for_a_query_has_the_fault() -> None:
    rule = rule_for(429, read_error({"error": "slower"}), documented=GATEWAY_STATUSES)
    assert rule is not None
    assert rule.fault is QueryFault.RATE
