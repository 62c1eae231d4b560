"""A token that Kling refuses is replaced once, and nothing else that it rejects is sent again."""

from __future__ import annotations

import re
from email.utils import formatdate

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
    Unknown,
)
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    always,
    answer,
    in_turn,
)
from extend_pipeline_tests.providers.kling.bodies import DONE, envelope, failure
from extend_pipeline_tests.providers.kling.provider.scripted import ID, REQUEST, accepted, kling
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.mark.parametrize("code", [1003, 1004])
def test_a_refused_token_is_replaced_once_and_the_post_goes_out_again(code: int) -> None:
    with kling(in_turn(answer(401, failure(code)), accepted())) as (provider, server):
        assert isinstance(provider.submit(REQUEST), Accepted)
        assert len(server.requests) == 2
        assert server.header("authorization", 0) != server.header("authorization", 1)
        assert server.body(0) == server.body(1)


@pytest.mark.parametrize("code", [1003, 1004])
def test_a_token_that_is_refused_twice_is_a_rejection_that_names_the_clock(code: int) -> None:
    refusal = answer(401, failure(code), {"Date": formatdate(1_780_000_000 - 900, usegmt=True)})
    with kling(always(refusal)) as (provider, server):
        outcome = provider.submit(REQUEST)
        assert len(server.requests) == 2
        query = provider.query(ID)
        assert len(server.requests) == 4
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.CLOCK
    check_user_text(re.sub(r"\d+ s\b", "SECONDS", outcome.answer.message))
    assert isinstance(query, QueryFailed)
    assert query.fault is QueryFault.CLOCK


def test_an_unclear_end_of_the_second_post_is_unknown() -> None:
    with kling(in_turn(answer(401, failure(1004)), answer(502, b"<html>"))) as (provider, server):
        assert isinstance(provider.submit(REQUEST), Unknown)
        assert len(server.requests) == 2


@pytest.mark.parametrize(("code", "status"), [(1000, 401), (1002, 401), (1102, 429), (1203, 404)])
def test_no_other_rejection_is_sent_again(code: int, status: int) -> None:
    with kling(always(answer(status, failure(code)))) as (provider, server):
        assert isinstance(provider.submit(REQUEST), Rejected)
        assert len(server.requests) == 1


def test_a_refused_api_key_is_not_sent_again() -> None:
    with kling(always(answer(401, failure(1004))), credentials=ApiKey(api_key_env="K_API")) as (provider, server):
        assert isinstance(provider.submit(REQUEST), Rejected)
        assert len(server.requests) == 1


def test_a_token_refused_with_a_task_beside_it_is_unknown_and_not_sent_again() -> None:
    with kling(always(answer(401, failure(1004, data={"task_id": ID})))) as (provider, server):
        assert isinstance(provider.submit(REQUEST), Unknown)
        assert len(server.requests) == 1


def test_a_token_refused_late_leaves_the_second_post_unsent() -> None:
    def late(server: RawServer, connection: object, _index: int) -> None:
        server.stopping.wait(0.35)
        connection.sendall(answer(401, failure(1004)))  # type: ignore[attr-defined]

    with kling(late, post_deadline_s=0.6) as (provider, server):
        outcome = provider.submit(REQUEST)
        assert len(server.requests) == 1
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.UNSENT


def test_one_token_serves_many_calls() -> None:
    with kling(always(answer(200, envelope(DONE)))) as (provider, server):
        for _ in range(5):
            assert isinstance(provider.query(ID), Found)
        assert len({server.header("authorization", index) for index in range(5)}) == 1
        assert server.connections == 1
