"""What it means that no whole answer came back."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.http.results import HttpResult, Lost, Reply, Unsent
from extend_pipeline.providers.http.retry import Try
from extend_pipeline.providers.protocol import QueryFault, Rejected, RejectReason, Unanswered, Unknown
from extend_pipeline.providers.wire.transport_outcome import asked, submitted

SECRETS = ("sk-canary-11",)
WHOLE = Reply(200, {}, b"{}", False, 0.1)


def test_only_a_request_of_which_no_byte_left_counts_as_refused() -> None:
    verdict = submitted(Unsent("connection refused"), SECRETS)
    assert isinstance(verdict, Rejected)
    assert verdict.reason is RejectReason.UNSENT
    assert "nothing was sent: connection refused" in verdict.answer.message


@pytest.mark.parametrize(
    "result",
    [
        Lost("the connection broke"),
        Lost("the connection broke", 500, b'{"code": 1'),
        Lost("the connection broke", 400, b'{"code": 1201, "message": "no'),
        Reply(400, {}, b"x", True, 0.1),
        Reply(200, {}, b"x", True, 0.1),
    ],
)
def test_an_answer_that_is_not_whole_leaves_the_charge_unknown_whatever_its_status(result: HttpResult) -> None:
    assert isinstance(submitted(result, SECRETS), Unknown)


def test_what_came_of_a_lost_answer_is_kept_without_its_secrets() -> None:
    verdict = submitted(Lost("cut", 200, b'{"task_id": "t-1", "key": "sk-canary-11"'), SECRETS)
    assert isinstance(verdict, Unknown)
    assert '"task_id": "t-1"' in verdict.answer.raw
    assert "sk-canary-11" not in repr(verdict)


@pytest.mark.parametrize(
    ("result", "fault", "again"),
    [
        (Unsent("no route"), QueryFault.UNREACHABLE, True),
        (Unsent("a private address", refused=True), QueryFault.UNREACHABLE, False),
        (Lost("cut"), QueryFault.UNREACHABLE, True),
        (Reply(200, {}, b"x", True, 0.1), QueryFault.MALFORMED, False),
    ],
)
def test_a_question_is_repeated_where_that_may_help(result: HttpResult, fault: QueryFault, again: bool) -> None:
    verdict = asked(result, SECRETS)
    assert isinstance(verdict, Try)
    assert isinstance(verdict.outcome, Unanswered)
    assert (verdict.outcome.fault, verdict.again) == (fault, again)


def test_a_whole_answer_is_for_the_provider_to_read() -> None:
    assert submitted(WHOLE, SECRETS) is WHOLE
    assert asked(WHOLE, SECRETS) is WHOLE
