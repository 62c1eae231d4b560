"""What Kling's response to a submit means, by the table "Reading an answer": accepted, or unknown."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.kling.parse import parse_submit
from extend_pipeline.providers.protocol import (
    Accepted,
    TaskState,
    Unknown,
)
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.bodies import CREATED, body, envelope, failure
from extend_pipeline_tests.providers.kling.parse.outcomes import ID, OWN, submit


def test_the_documents_submit_answer_is_accepted_as_it_stands() -> None:
    outcome = parse_submit(RawResponse(200, body(CREATED)), external_task_id="string")
    assert isinstance(outcome, Accepted)
    assert (outcome.task_id, outcome.state) == ("string", TaskState.PROCESSING)
    assert outcome.answer.request_id == "string"


@pytest.mark.parametrize("code", [0, 200, "0", "200"])
@pytest.mark.parametrize("status", [200, 201])
def test_success_with_an_id_is_accepted(status: int, code: object) -> None:
    outcome = submit(status, envelope({"task_id": ID, "task_status": "submitted"}, code=code))
    assert isinstance(outcome, Accepted)
    assert (outcome.task_id, outcome.state) == (ID, TaskState.SUBMITTED)


def test_an_answer_that_speaks_of_another_external_id_is_unknown() -> None:
    for data in (
        {"task_id": ID, "task_info": {"external_task_id": "other"}},
        {"task_id": ID, "external_task_id": "other"},
    ):
        assert isinstance(submit(200, envelope(data)), Unknown)
    for data in (
        {"task_id": ID, "task_info": {"external_task_id": OWN}},
        {"task_id": ID, "task_info": {"external_task_id": ""}},
    ):
        assert isinstance(submit(200, envelope(data)), Accepted)


def test_a_bare_integer_id_above_2_53_stays_exact() -> None:
    outcome = submit(200, b'{"code":0,"message":"","data":{"task_id":827942411241803823}}')
    assert isinstance(outcome, Accepted)
    assert outcome.task_id == "827942411241803823"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("HTML", b"<html><title>Sign in</title></html>"),
        ("empty", b""),
        ("cut short", b'{"code":0,"data":{"task_id":"82794'),
        ("no id", envelope({"task_status": "submitted"})),
        ("empty id", envelope({"task_id": ""})),
        ("null id", envelope({"task_id": None})),
        ("float id", b'{"code":0,"message":"","data":{"task_id":8.27942411241803822e17}}'),
        ("bool id", envelope({"task_id": True})),
        ("two ids", b'{"code":0,"message":"","data":{"task_id":"1","task_id":"2"}}'),
        ("dots", envelope({"task_id": ".."})),
        ("NUL", envelope({"task_id": "a\x00b"})),
        ("surrogate", b'{"code":0,"message":"","data":{"task_id":"\\ud800"}}'),
        ("null data", envelope(None)),
        ("data is a list", envelope([{"task_id": ID}])),
        ("null", b"null"),
        ("a number", b"7"),
        ("a list", b"[]"),
        ("no code", body({"message": "ok", "data": {"task_id": ID}})),
        ("code is a word", body({"code": "success", "message": "", "data": {"task_id": ID}})),
        ("code is true", body({"code": False, "message": "", "data": {"task_id": ID}})),
        ("two codes", b'{"code":0,"code":1302,"message":"","data":{"task_id":"1"}}'),
        ("failure code beside an id", failure(1302, data={"task_id": ID})),
        ("failure code beside an odd id", failure(1302, data={"task_id": 1.5})),
        ("failure code beside a list with an id", failure(1303, data=[{"task_id": ID}])),
        ("undocumented code", failure(1999)),
        ("internal error with 200", failure(5000)),
    ],
)
def test_any_other_2xx_is_unknown(name: str, content: bytes) -> None:
    outcome = submit(200, content)
    assert isinstance(outcome, Unknown), name
    assert outcome.cause


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_3xx_is_unknown(status: int) -> None:
    assert isinstance(submit(status, envelope({"task_id": ID})), Unknown)
    assert isinstance(submit(status, b""), Unknown)


@pytest.mark.parametrize("status", [408, 409, 425])
def test_408_409_425_are_unknown_with_any_body(status: int) -> None:
    assert isinstance(submit(status, failure(1302)), Unknown)
    assert isinstance(submit(status, b""), Unknown)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 418, 422, 429, 451, 499])
@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", failure(9999), body({"error": "no"}), body({"detail": "no"})]
)
def test_an_undocumented_4xx_is_unknown(status: int, content: bytes) -> None:
    assert isinstance(submit(status, content), Unknown)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 599])
@pytest.mark.parametrize("content", [b"", failure(1102), failure(5001), envelope({"task_id": ID})])
def test_5xx_is_unknown(status: int, content: bytes) -> None:
    assert isinstance(submit(status, content), Unknown)
