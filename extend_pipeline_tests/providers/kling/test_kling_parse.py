"""How Kling's responses are parsed: the table "Reading an answer", every code, and bodies from real responses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extend_pipeline.providers.kling.parse import parse_page, parse_query, parse_submit
from extend_pipeline.providers.protocol import (
    Accepted,
    Duplicate,
    Found,
    NotFound,
    Output,
    Page,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    Rejected,
    RejectReason,
    SubmitOutcome,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.codes import RULES
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.bodies import CREATED, DONE, LIST, SINGLE, body, done, envelope, failure
from extend_pipeline_tests.support.user_texts import check_user_text

ID = "827942411241803822"
OWN = "harbour-dawn_1"
CANARY = "canary-secret-0123456789"


def submit(status: int, content: bytes) -> SubmitOutcome:
    return parse_submit(RawResponse(status, content, (CANARY,), 3.0), external_task_id=OWN)


def query(status: int, content: bytes, requested: str = ID, own_key: bool = False) -> QueryOutcome:
    return parse_query(RawResponse(status, content, (CANARY,), 3.0), requested=requested, own_key=own_key)


def seen(content: bytes, requested: str = ID) -> TaskView:
    outcome = query(200, content, requested)
    assert isinstance(outcome, Found), outcome
    return outcome.view


# The documents' own bodies


def test_the_documents_submit_answer_is_accepted_as_it_stands() -> None:
    outcome = parse_submit(RawResponse(200, body(CREATED)), external_task_id="string")
    assert isinstance(outcome, Accepted)
    assert (outcome.task_id, outcome.state) == ("string", TaskState.PROCESSING)
    assert outcome.answer.request_id == "string"


def test_the_documents_query_answer_is_seen_as_it_stands() -> None:
    view = seen(body(SINGLE), requested="string")
    assert (view.task_id, view.external_task_id, view.parent_video_id) == ("string", "string", "string")
    assert view.state is TaskState.PROCESSING  # "string" is no status
    assert view.outputs == ()  # and "string" no URL
    assert view.units_micros is None
    assert view.created_ms == 1722769557708


def test_the_documents_list_answer_is_a_page_as_it_stands() -> None:
    page = parse_page(RawResponse(200, body(LIST)))
    assert isinstance(page, Page)
    assert (len(page.views), page.malformed, page.rows) == (1, 0, 1)


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


# "Reading an answer to a submit"


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


# Kling's codes

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


# Queries


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


# Pages


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


# Evidence and secrets


def test_raw_is_capped_and_can_be_stored() -> None:
    outcome = submit(200, b'{"code":0,"message":"a\\u0000b \\ud800","data":{}} \x00' + b"x" * 10_000)
    assert isinstance(outcome, Unknown)
    assert len(outcome.answer.raw) == 4096
    stored = outcome.answer.raw + outcome.answer.message
    assert "\x00" not in stored
    stored.encode("utf-8")


@pytest.mark.parametrize("place", ["message", "request_id", "code", "data", "title", "row"])
def test_a_secret_that_the_upstream_sends_back_is_stored_nowhere(place: str) -> None:
    task = done(
        task_id=CANARY, task_status=CANARY, task_status_msg=f"x {CANARY}", final_unit_deduction=CANARY,
        task_info={"external_task_id": CANARY, "parent_video": {"id": CANARY, "url": f"https://a.b/{CANARY}"}},
        task_result={"videos": [{"id": CANARY, "url": f"https://a.b/{CANARY}", "watermark_url": f"https://a.b/{CANARY}"}]},
    )  # fmt: skip
    contents = {
        "message": failure(1302, f"bad token {CANARY}"),
        "request_id": failure(1302, request_id=CANARY),
        "code": failure(CANARY),
        "data": envelope(task),
        "title": f"<title>{CANARY}</title>".encode(),
        "row": envelope({**task, "task_id": ID}),
    }
    for status in (200, 400, 500):
        content = contents[place]
        outcomes: list[object] = [
            submit(status, content),
            query(status, content),
            parse_page(RawResponse(status, content, (CANARY,))),
        ]
        outcomes.append(parse_page(RawResponse(200, envelope([task, {**task, "task_id": ID}]), (CANARY,))))
        for outcome in outcomes:
            assert CANARY not in repr(outcome)


# Anything at all

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["succeed", "failed", ID, "0", "2"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw one of Kling's bodies with some values replaced, some keys removed, and perhaps cut or garbled bytes."""
    document: Any = json.loads(
        body(draw(st.sampled_from([CREATED, SINGLE, LIST, {"code": 0, "message": "", "data": DONE}])))
    )
    for _ in range(draw(st.integers(0, 3))):
        node = document
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else 0
            inner = node[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                node = inner
                continue
            if isinstance(node, dict) and draw(st.booleans()):
                del node[key]
            else:
                node[key] = draw(JSON)
            break
    content = json.dumps(document).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 4)) :]
    if draw(st.integers(0, 3)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    return content


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([200, 200, 201, 204, 302, 400, 404, 409, 429, 500, 503]), mutated())
def test_no_body_makes_the_parsers_raise_or_believe_too_much(status: int, content: bytes) -> None:
    submitted = submit(status, content)
    if isinstance(submitted, Accepted):
        assert submitted.task_id
        assert status in (200, 201, 204)
    views: list[TaskView] = []
    queried = query(status, content)
    if isinstance(queried, Found):
        views.append(queried.view)
    page = parse_page(RawResponse(status, content))
    if isinstance(page, Page):
        views.extend(page.views)
        assert page.rows == len(page.views) + page.malformed
    for view in views:
        assert view.task_id
        assert view.state is not TaskState.SUCCEEDED or view.outputs
        assert all(output.url.startswith(("https://", "http://")) for output in view.outputs)
        assert view.units_micros is None or view.units_micros >= 0
    for text in (repr(submitted), repr(queried), repr(page)):
        assert len(text) < 60_000
        text.encode("utf-8")


@settings(max_examples=200)
@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_bytes_are_ever_taken_for_an_acceptance(status: int, content: bytes) -> None:
    assert not isinstance(submit(status, content), Accepted)
    assert not isinstance(query(status, content), Found | NotFound)
