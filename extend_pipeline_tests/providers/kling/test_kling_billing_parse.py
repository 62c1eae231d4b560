"""How Kling's billing responses are parsed, and what they must not be taken for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from extend_pipeline.providers.kling.billing_parse import (
    BilledTask,
    BillingPage,
    parse_billing_page,
)
from extend_pipeline.providers.protocol import QueryFailed, QueryFault
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.billing_bodies import ROW, page, row
from extend_pipeline_tests.providers.kling.bodies import failure

ID = ROW["task_id"]


def read_page(body: bytes, status: int = 200, **raw: Any) -> BillingPage | QueryFailed:
    return parse_billing_page(RawResponse(status, body, **raw))


def fault(outcome: object) -> QueryFault:
    assert isinstance(outcome, QueryFailed), outcome
    return outcome.fault


def test_a_row_is_read_exactly() -> None:
    assert read_page(page(ROW)) == BillingPage((BilledTask(ID, 3_500_000, 1779549455861),), None, 0)


@pytest.mark.parametrize(
    ("amount", "micros"),
    [
        (5.0, 5_000_000),
        (2, 2_000_000),
        ("3.5", 3_500_000),
        (0, 0),
        (0.000001, 1),
        (-2.5, -2_500_000),
        ("-2", -2_000_000),
    ],
)
def test_an_amount_may_be_a_number_or_text_and_negative(amount: object, micros: int) -> None:
    outcome = read_page(page(row(deduction_amount=amount)))
    assert isinstance(outcome, BillingPage)
    assert [deduction.units_micros for deduction in outcome.rows] == [micros]


@pytest.mark.parametrize(
    "changes",
    [
        {"deduction_amount": None},
        {"deduction_amount": "much"},
        {"deduction_amount": 0.0000001},
        {"deduction_amount": True},
        {"deduction_amount": "--2"},
        {"deduction_amount": 1e300},
        {"deduction_amount": -1e300},
        {"task_id": None},
        {"task_id": ""},
        {"task_id": "a b"},
    ],
)
def test_a_row_that_cannot_be_understood_is_counted(changes: dict[str, Any]) -> None:
    outcome = read_page(page(row(**changes), ROW))
    assert isinstance(outcome, BillingPage)
    assert (len(outcome.rows), outcome.malformed) == (1, 1)


@pytest.mark.parametrize("when", [None, "", "soon", -1])
def test_a_row_without_a_time_still_counts(when: object) -> None:
    outcome = read_page(page(row(deduction_time=when)))
    assert isinstance(outcome, BillingPage)
    assert outcome.rows == (BilledTask(ID, 3_500_000, None),)


def test_an_id_keeps_all_its_digits() -> None:
    outcome = read_page(page(row(task_id=827942411241803823)))
    assert isinstance(outcome, BillingPage)
    assert outcome.rows[0].task_id == "827942411241803823"


def test_the_next_page_is_requested_by_its_cursor() -> None:
    outcome = read_page(page(ROW, more=True, cursor="c2"))
    assert isinstance(outcome, BillingPage)
    assert outcome.next_cursor == "c2"
    last = read_page(page(ROW, more=False, cursor="c2"))
    assert isinstance(last, BillingPage)
    assert last.next_cursor is None


@pytest.mark.parametrize(
    "body",
    [
        page(ROW, more=True),
        page(ROW, more=True, cursor=7),
        page(ROW, more=True, cursor="x" * 5000),
        page(ROW, more="true", cursor="c2"),
        page(ROW, more=None, cursor="c2"),
        page(result={"detail": None}),
        page(result={"detail": {}}),
        page(result=None),
        page(result=[]),
        json.dumps({"code": 0, "data": None}).encode(),
        json.dumps({"data": {"result": {"detail": []}, "has_more": False}}).encode(),
        json.dumps([ROW]).encode(),
        b"",
        b"<html><title>welcome</title></html>",
        page(ROW)[:-9],
    ],
)
def test_an_answer_that_is_no_whole_page_is_never_taken_for_an_empty_one(body: bytes) -> None:
    assert fault(read_page(body)) is QueryFault.MALFORMED


@pytest.mark.parametrize("body", [page(), page(result={"detail": None, "count": 0}), page(result={"count": 0})])
def test_an_empty_page_is_read_as_empty(body: bytes) -> None:
    assert read_page(body) == BillingPage((), None, 0)


@pytest.mark.parametrize(
    ("code", "expected"),
    [(1002, QueryFault.AUTH), (1102, QueryFault.BALANCE), (1302, QueryFault.RATE), (1202, QueryFault.MALFORMED)],
)
def test_a_refusal_is_classified_by_its_code(code: int, expected: QueryFault) -> None:
    outcome = parse_billing_page(RawResponse(429 if code in (1102, 1302) else 401, failure(code), retry_after_s=3.0))
    assert (fault(outcome), outcome.retry_after_s) == (expected, 3.0)


@pytest.mark.parametrize("status", [307, 500, 503])
def test_another_status_is_no_bill(status: int) -> None:
    assert isinstance(parse_billing_page(RawResponse(status, page(ROW))), QueryFailed)


def test_a_secret_never_gets_into_an_outcome() -> None:
    secret = "canary-secret-0123456789"
    outcome = read_page(page(row(task_id=f"x{secret}"), ROW), secrets=(secret,))
    assert isinstance(outcome, BillingPage)
    assert outcome.malformed == 1
    refused = parse_billing_page(RawResponse(401, failure(1002, f"account of {secret}"), secrets=(secret,)))
    assert isinstance(refused, QueryFailed)
    assert secret not in repr(refused)
