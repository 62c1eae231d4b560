"""KlingProvider's keys: one that is missing is named, and one that Kling repeats is shown nowhere."""

from __future__ import annotations

import logging

import pytest

from extend_pipeline.providers.protocol import (
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
)
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    always,
    answer,
)
from extend_pipeline_tests.providers.kling.bodies import done, envelope, failure
from extend_pipeline_tests.providers.kling.provider.scripted import ACCESS, ID, REQUEST, SECRET, accepted, kling


def test_a_missing_secret_is_an_outcome_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("K_SECRET")
    with kling(always(accepted())) as (provider, server):
        submitted, queried, page = provider.submit(REQUEST), provider.query(ID), provider.list_page(1, 30)
        assert server.connections == 0
    assert isinstance(submitted, Rejected)
    assert submitted.reason is RejectReason.NO_KEY
    assert "K_SECRET" in submitted.answer.message
    for outcome in (queried, page):
        assert isinstance(outcome, QueryFailed)
        assert outcome.fault is QueryFault.NO_KEY
        assert "K_SECRET" in outcome.answer.message


def test_no_outcome_log_or_repr_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(server: RawServer, connection: object, index: int) -> None:
        token = str(server.header("authorization"))
        refusal = failure(1302, f"bad {token} of {ACCESS}/{SECRET}", request_id=token, data={"authorization": token})
        page = f"<title>{token} {SECRET}</title>".encode()
        contents = [
            answer(429, refusal),
            answer(200, page),
            answer(200, envelope(done(task_status_msg=token, task_status=SECRET))),
        ]
        connection.sendall(contents[index % 3])  # type: ignore[attr-defined]

    shown: list[str] = []
    with kling(echo) as (provider, server):
        for _ in range(3):
            shown += [
                repr(provider.submit(REQUEST)),
                repr(provider.query(ID)),
                repr(provider.list_page(1, 1)),
                repr(provider),
            ]
        tokens = {str(server.header("authorization", index)).split()[1] for index in range(len(server.requests))}
    everything = "\n".join(shown) + caplog.text
    assert "canary" not in everything
    assert not [token for token in tokens if token in everything]
    assert len(server.requests) >= 9
