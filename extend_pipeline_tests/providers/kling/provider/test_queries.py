"""Queries to Kling: repeated until an answer or their deadline, and sent to the task's own path."""

from __future__ import annotations

import time
from urllib.parse import quote

import pytest

from extend_pipeline.providers.protocol import (
    Found,
    NotFound,
    QueryFailed,
    QueryFault,
)
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    always,
    answer,
    hang_up,
    in_turn,
    silence,
)
from extend_pipeline_tests.providers.kling.bodies import DONE, envelope, failure
from extend_pipeline_tests.providers.kling.provider.scripted import ID, kling


def test_a_query_is_repeated_until_it_succeeds() -> None:
    script = in_turn(
        answer(502, b"<html>"),
        answer(429, failure(1302), {"Retry-After": "0.01"}),
        answer(200, envelope(DONE)),
    )
    with kling(script) as (provider, server):
        assert isinstance(provider.query(ID), Found)
        assert len(server.requests) == 3


def test_a_query_on_a_dead_connection_is_repeated() -> None:
    def first_dies(server: RawServer, connection: object, index: int) -> None:
        if index == 0:
            hang_up(server, connection, 0)  # type: ignore[arg-type]
        else:
            connection.sendall(answer(200, envelope(DONE)))  # type: ignore[attr-defined]

    with kling(first_dies) as (provider, server):
        assert isinstance(provider.query(ID), Found)
        assert server.connections == 2


def test_a_query_is_repeated_a_bounded_number_of_times() -> None:
    with kling(always(answer(503, failure(5001)))) as (provider, server):
        outcome = provider.query(ID)
        assert len(server.requests) == 3
    assert isinstance(outcome, QueryFailed)
    assert outcome.fault is QueryFault.UPSTREAM


def test_a_retry_after_is_waited_for() -> None:
    with kling(in_turn(answer(429, failure(1302), {"retry-after-ms": "300"}), answer(200, envelope(DONE)))) as (
        provider,
        _,
    ):
        began = time.monotonic()
        assert isinstance(provider.query(ID), Found)
        assert time.monotonic() - began >= 0.3


def test_a_retry_after_that_is_too_long_is_returned_without_waiting() -> None:
    with kling(always(answer(429, failure(1302), {"Retry-After": "120"}))) as (provider, server):
        began = time.monotonic()
        outcome = provider.query(ID)
        assert time.monotonic() - began < 1
        assert len(server.requests) == 1
    assert isinstance(outcome, QueryFailed)
    assert outcome.retry_after_s == 120


def test_a_query_is_not_repeated_without_balance() -> None:
    with kling(always(answer(429, failure(1102)))) as (provider, server):
        outcome = provider.query(ID)
        assert len(server.requests) == 1
    assert isinstance(outcome, QueryFailed)
    assert outcome.fault is QueryFault.BALANCE


def test_a_query_keeps_its_deadline_with_all_its_repetitions() -> None:
    with kling(silence, get_deadline_s=0.4) as (provider, _):
        began = time.monotonic()
        outcome = provider.query(ID)
        assert time.monotonic() - began < 0.7
    assert isinstance(outcome, QueryFailed)
    assert outcome.fault is QueryFault.UNREACHABLE


def test_an_unknown_task_is_absent_and_a_404_of_another_server_is_not() -> None:
    with kling(in_turn(answer(404, failure(1203, "task not found")), answer(404, b"<html>nginx</html>"))) as (
        provider,
        server,
    ):
        assert isinstance(provider.find("harbour-dawn_1"), NotFound)
        assert server.asked() == ("GET", "/v1/videos/video-extend/harbour-dawn_1")
        assert isinstance(provider.find("harbour-dawn_1"), QueryFailed)


@pytest.mark.parametrize("task_id", ["Cjik/Q2aBc+==", "a?b=1", "../../v1/account", "a#b", "%2e%2e", "ü x", "a\ud800"])
def test_any_id_is_one_segment_of_the_path(task_id: str) -> None:
    with kling(always(answer(404, failure(1203)))) as (provider, server):
        provider.query(task_id)
        expected = quote(task_id, safe="", errors="replace")
        assert server.asked() == ("GET", f"/v1/videos/video-extend/{expected}")


@pytest.mark.parametrize("task_id", ["", ".", ".."])
def test_an_id_that_would_name_another_path_is_not_requested(task_id: str) -> None:
    with kling(always(answer(200, envelope(DONE)))) as (provider, server):
        assert isinstance(provider.query(task_id), QueryFailed)
        assert isinstance(provider.find(task_id), QueryFailed)
        assert server.connections == 0
