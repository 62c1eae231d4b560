"""What a missing or incomplete response means."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.http.results import HttpResult, NoResponse, NotSent, Reply
from extend_pipeline.providers.http.retry import AttemptResult
from extend_pipeline.providers.protocol import QueryFailed, QueryFault, Rejected, RejectReason, Unknown
from extend_pipeline.providers.wire.transport_outcome import classify_query, classify_submit
from extend_pipeline_tests.support.user_texts import check_user_text

SECRETS = ("sk-canary-11",)
WHOLE = Reply(200, {}, b"{}", False)


def test_only_a_request_of_which_no_byte_left_counts_as_refused() -> None:
    reason = "connection refused"
    verdict = classify_submit(NotSent(reason), SECRETS)
    assert isinstance(verdict, Rejected)
    assert verdict.reason is RejectReason.UNSENT
    assert reason in verdict.answer.message
    check_user_text(verdict.answer.message)


@pytest.mark.parametrize(
    "result",
    [
        NoResponse("the connection broke"),
        NoResponse("the connection broke", 500, b'{"code": 1'),
        NoResponse("the connection broke", 400, b'{"code": 1201, "message": "no'),
        Reply(400, {}, b"x", True),
        Reply(200, {}, b"x", True),
    ],
)
def test_an_incomplete_answer_leaves_the_charge_unknown_with_any_status(result: HttpResult) -> None:
    assert isinstance(classify_submit(result, SECRETS), Unknown)


def test_the_received_part_of_a_lost_answer_is_stored_without_secrets() -> None:
    verdict = classify_submit(NoResponse("cut", 200, b'{"task_id": "t-1", "key": "sk-canary-11"'), SECRETS)
    assert isinstance(verdict, Unknown)
    assert '"task_id": "t-1"' in verdict.answer.raw
    assert "sk-canary-11" not in repr(verdict)


@pytest.mark.parametrize(
    ("result", "fault", "again"),
    [
        (NotSent("no route"), QueryFault.UNREACHABLE, True),
        (NotSent("a private address", refused=True), QueryFault.UNREACHABLE, False),
        (NoResponse("cut"), QueryFault.UNREACHABLE, True),
        (Reply(200, {}, b"x", True), QueryFault.MALFORMED, False),
    ],
)
def test_a_query_is_repeated_where_that_may_help(result: HttpResult, fault: QueryFault, again: bool) -> None:
    verdict = classify_query(result, SECRETS)
    assert isinstance(verdict, AttemptResult)
    assert isinstance(verdict.outcome, QueryFailed)
    assert (verdict.outcome.fault, verdict.again) == (fault, again)


def test_a_whole_answer_is_for_the_provider_to_read() -> None:
    assert classify_submit(WHOLE, SECRETS) is WHOLE
    assert classify_query(WHOLE, SECRETS) is WHOLE
