"""A submit to Kling goes out once, also where the response says that it failed, and an unclear response is unknown."""

from __future__ import annotations

import time

import pytest

from extend_pipeline.providers.protocol import (
    Accepted,
    Rejected,
    RejectReason,
    Unknown,
)
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    hang_up,
    silence,
    unused_port,
)
from extend_pipeline_tests.providers.kling.bodies import envelope, failure
from extend_pipeline_tests.providers.kling.provider.scripted import ID, REQUEST, accepted, kling, provider_at


@pytest.mark.parametrize(
    "script",
    [
        hang_up,
        silence,
        always(answer(500, failure(5000))),
        always(answer(503, failure(5001), {"Retry-After": "0"})),
        always(answer(429, failure(1303), {"Retry-After": "0"})),
        always(answer(307, b"", {"Location": "/v1/videos/video-extend"})),
        always(answer(200, b"<html>")),
        always(answer(408, b"")),
    ],
    ids=["closed", "silent", "500", "503", "429", "307", "html", "408"],
)
def test_a_post_is_never_repeated(script: Script) -> None:
    with kling(script, post_deadline_s=0.4) as (provider, server):
        outcome = provider.submit(REQUEST)
        assert not isinstance(outcome, Accepted)
        assert (server.connections, len(server.requests)) == (1, 1)


def test_an_unanswered_post_is_unknown_at_its_deadline() -> None:
    with kling(silence, post_deadline_s=0.3) as (provider, _):
        began = time.monotonic()
        outcome = provider.submit(REQUEST)
        assert time.monotonic() - began < 0.6
    assert isinstance(outcome, Unknown)
    assert "0.3 s" in outcome.cause


def test_a_post_that_was_provably_not_sent_is_rejected_and_will_be_planned_again() -> None:
    provider = provider_at(f"http://127.0.0.1:{unused_port()}")
    outcome = provider.submit(REQUEST)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.UNSENT
    assert outcome.reason.transient


def test_an_answer_cut_short_is_unknown_with_the_evidence_kept() -> None:
    def cut(server: RawServer, connection: object, _index: int) -> None:
        connection.sendall(accepted()[:-8])  # type: ignore[attr-defined]
        hang_up(server, connection, 0)  # type: ignore[arg-type]

    with kling(cut) as (provider, _):
        outcome = provider.submit(REQUEST)
    assert isinstance(outcome, Unknown)
    assert outcome.answer.http_status == 200
    assert ID in outcome.answer.raw


def test_an_enormous_answer_to_a_post_is_unknown() -> None:
    huge = envelope({"task_id": ID, "pad": "x" * 1_100_000})
    with kling(always(answer(200, huge))) as (provider, _):
        outcome = provider.submit(REQUEST)
    assert isinstance(outcome, Unknown)
    assert len(outcome.answer.raw) <= 4096


def test_retry_after_is_handed_on_with_a_rejection() -> None:
    with kling(always(answer(429, failure(1303, "parallel task over resource pack limit"), {"Retry-After": "12"}))) as (
        provider,
        _,
    ):
        outcome = provider.submit(REQUEST)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.retry_after_s) == (RejectReason.SLOTS, 12.0)
