"""KlingProvider over real sockets: what is sent, how often, and with which outcome."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from urllib.parse import quote

import jwt
import pytest

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    NotFound,
    Page,
    Provider,
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
    SubmitRequest,
    Unknown,
)
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    hang_up,
    in_turn,
    raw_server,
    silence,
    unused_port,
)
from extend_pipeline_tests.providers.kling.bodies import DONE, done, envelope, failure
from extend_pipeline_tests.support.user_texts import check_user_text

ACCESS, SECRET = "canary-access-0123456789", "canary-secret-0123456789abcdefghij"
API_KEY = "canary-api-key-0123456789"
FAST = RetryPolicy(attempts=3, wait_initial_s=0.01, wait_max_s=0.02, min_left_s=0.01)
REQUEST = SubmitRequest(
    external_task_id="harbour-dawn_1", source_id="827000000000000001", params={"prompt": "the fog lifts"}
)
ID = "827942411241803822"


class Clock:
    def __init__(self) -> None:
        self.now = 1_780_000_000.0

    def __call__(self) -> float:
        self.now += 1.0  # so that two tokens always differ
        return self.now


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_ACCESS", ACCESS)
    monkeypatch.setenv("K_SECRET", SECRET)
    monkeypatch.setenv("K_API", API_KEY)


@contextmanager
def kling(
    script: Script,
    *,
    credentials: KeyPair | ApiKey = KeyPair(access_key_env="K_ACCESS", secret_key_env="K_SECRET"),  # noqa: B008 - a frozen value
    post_deadline_s: float = 5.0,
    get_deadline_s: float = 5.0,
    page_cap: int = 8_000_000,
) -> Iterator[tuple[KlingProvider, RawServer]]:
    clock = Clock()
    with raw_server(script) as server:
        provider = KlingProvider(
            ApiClient(
                base_url=server.base_url,
                auth=KlingAuth(credentials, now=clock),
                allow_local=True,
                post_deadline_s=post_deadline_s,
                get_deadline_s=get_deadline_s,
                now=clock,
                retry=FAST,
            ),
            page_cap=page_cap,
        )
        try:
            yield provider, server
        finally:
            provider.close()


def provider_at(base_url: str) -> KlingProvider:
    return KlingProvider(ApiClient(base_url=base_url, auth=KlingAuth(ApiKey(api_key_env="K_API")), allow_local=True))


def accepted() -> bytes:
    return answer(200, envelope({"task_id": ID, "task_status": "submitted"}))


def test_it_is_a_provider() -> None:
    provider: Provider = provider_at("https://api.example.com")
    assert (provider.can_find, provider.list_page_size) == (True, 500)
    provider.close()


# The request


def test_the_body_is_what_the_document_names_and_nothing_else() -> None:
    with kling(always(accepted())) as (provider, server):
        request = SubmitRequest(
            external_task_id="a_1",
            source_id="827000000000000001",
            params={"prompt": "p", "negative_prompt": "n", "cfg_scale": 0.5, "watermark": False},
            callback_url="https://hooks.example.com/t/abc",
        )
        assert isinstance(provider.submit(request), Accepted)
        sent = json.loads(server.body())
        assert sent == provider.body(request)
        assert sent == {
            "video_id": "827000000000000001",
            "prompt": "p",
            "negative_prompt": "n",
            "cfg_scale": 0.5,
            "watermark_info": {"enabled": False},
            "callback_url": "https://hooks.example.com/t/abc",
            "external_task_id": "a_1",
        }
        assert server.asked() == ("POST", "/v1/videos/video-extend")
        assert server.header("content-type") == "application/json"


def test_absent_parameters_are_not_sent() -> None:
    provider = provider_at("https://api.example.com")
    request = SubmitRequest(
        "a_1", "827", params={"prompt": "", "negative_prompt": None, "cfg_scale": None, "watermark": None}
    )
    assert provider.body(request) == {"video_id": "827", "external_task_id": "a_1"}


@pytest.mark.parametrize(
    "request_",
    [
        SubmitRequest("a_1", "827", params={"mode": "pro"}),
        SubmitRequest("a_1", ""),
        SubmitRequest("a b", "827"),
        SubmitRequest("x" * 65, "827"),
        SubmitRequest("a_1", "827", params={"prompt": 5}),
        SubmitRequest("a_1", "827", params={"cfg_scale": float("nan")}),
        SubmitRequest("a_1", "827", params={"cfg_scale": True}),
        SubmitRequest("a_1", "827", params={"cfg_scale": 1.5}),
        SubmitRequest("a_1", "827", params={"watermark": "yes"}),
    ],
)
def test_a_request_that_config_should_have_caught_raises_before_anything_is_sent(
    request_: SubmitRequest,
) -> None:
    with kling(always(accepted())) as (provider, server):
        with pytest.raises(ValueError, match=r".{10}"):
            provider.submit(request_)
        assert server.connections == 0


def test_the_token_goes_out_as_a_bearer_and_an_api_key_too() -> None:
    with kling(always(accepted())) as (provider, server):
        provider.submit(REQUEST)
        scheme, _, token = str(server.header("authorization")).partition(" ")
        assert scheme == "Bearer"
        options = {"verify_exp": False, "verify_nbf": False}
        assert jwt.decode(token, SECRET, algorithms=["HS256"], options=options)["iss"] == ACCESS  # type: ignore[arg-type]
    with kling(always(accepted()), credentials=ApiKey(api_key_env="K_API")) as (provider, server):
        provider.submit(REQUEST)
        assert server.header("authorization") == f"Bearer {API_KEY}"


# A POST happens once


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


# A refused token


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


# Missing secrets


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


# Questions


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


# Lists


def test_a_page_of_five_hundred_rows_is_read() -> None:
    signed = "https://v1.klingai.com/a.mp4?sig=" + "x" * 900
    row = done(task_result={"videos": [{"id": "1", "url": signed, "watermark_url": signed, "duration": "9.6"}]})
    rows = [{**row, "task_id": str(827942411241803822 + index)} for index in range(500)]
    with kling(always(answer(200, envelope(rows)))) as (provider, server):
        page = provider.list_page(3, 500)
        assert server.asked() == ("GET", "/v1/videos/video-extend?pageNum=3&pageSize=500")
    assert isinstance(page, Page)
    assert (len(page.views), page.malformed) == (500, 0)


def test_a_page_beyond_the_cap_is_reported_as_too_large() -> None:
    with kling(always(answer(200, envelope([DONE] * 50))), page_cap=10_000) as (provider, server):
        outcome = provider.list_page(1, 500)
        assert len(server.requests) == 1
    assert isinstance(outcome, QueryFailed)
    assert outcome.fault is QueryFault.MALFORMED
    check_user_text(outcome.answer.message)


@pytest.mark.parametrize(("page", "size"), [(0, 30), (1001, 30), (1, 0), (1, 501)])
def test_a_page_that_kling_does_not_have_is_a_mistake_of_the_caller(page: int, size: int) -> None:
    provider = provider_at("https://api.example.com")
    with pytest.raises(ValueError, match="1-500"):
        provider.list_page(page, size)


# Secrets


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
