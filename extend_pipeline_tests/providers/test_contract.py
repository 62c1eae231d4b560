"""The contract of every provider: one suite over real sockets, with bodies from the documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from extend_pipeline.config.checks.purchase import IMPLIED
from extend_pipeline.config.fields.text import aliases
from extend_pipeline.media.analysis.classify import MIN_DIFFERENCE_MS
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    NotFound,
    Provider,
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
    TaskState,
    Unknown,
)
from extend_pipeline.providers.registry import PROVIDERS, spec_of
from extend_pipeline.providers.spec import LookUp, ProviderSpec
from extend_pipeline_tests.providers.contract_entries import KEY, UPSTREAMS, Upstream
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    cut,
    hang_up,
    in_turn,
    raw_server,
    silence,
    unused_port,
)
from extend_pipeline_tests.providers.kling.bodies import failure
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies

NAMES = tuple(spec.name for spec in PROVIDERS)
REFUSALS = [(name, reason) for name, entry in UPSTREAMS.items() for reason in entry.refusals]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C_KEY", KEY)


@pytest.fixture(params=NAMES)
def upstream(request: pytest.FixtureRequest) -> Upstream:
    return UPSTREAMS[request.param]


@contextmanager
def serving(upstream: Upstream, script: Script, deadline_s: float = 5.0) -> Iterator[tuple[Provider, RawServer]]:
    with raw_server(script) as server:
        provider = upstream.make(server.base_url, deadline_s)
        try:
            yield provider, server
        finally:
            provider.close()


# The spec


def test_every_provider_has_an_entry() -> None:
    assert UPSTREAMS.keys() == set(NAMES)


@pytest.mark.parametrize("spec", PROVIDERS, ids=NAMES)
def test_an_account_may_choose_the_submit_classes_whose_look_up_there_is(spec: ProviderSpec) -> None:
    ways = {"A": LookUp.OWN_KEY, "C": LookUp.CALLBACK, "D": LookUp.NOTHING}
    offered = spec.account.model_json_schema()["properties"]["submit_class"]["enum"]
    assert {ways[offer] for offer in offered} == spec.look_ups
    assert (LookUp.CALLBACK in spec.look_ups) == (spec.callback is not None)


def test_the_client_can_do_what_the_spec_says(upstream: Upstream, request: pytest.FixtureRequest) -> None:
    spec = spec_of(request.node.callspec.params["upstream"])
    provider = upstream.make("http://127.0.0.1:9", 1.0)
    provider.close()
    assert spec.has_list == (provider.list_page_size > 0)
    assert LookUp.OWN_KEY in spec.look_ups or not provider.can_find
    if spec.callback is not None:
        assert spec.callback(upstream.done) == upstream.task_id


@pytest.mark.parametrize("spec", PROVIDERS, ids=NAMES)
def test_the_figures_fit_together(spec: ProviderSpec) -> None:
    least, most = spec.added_ms(None)
    assert 2 * MIN_DIFFERENCE_MS <= least <= most  # otherwise a file's length doesn't show what the file contains
    assert spec.longest_ms is None or spec.source_range_ms is None or spec.source_range_ms[1] <= spec.longest_ms
    assert set(spec.modes) <= set(spec.price_keys)
    assert spec.source_range_ms is None or not spec.reports_source_url  # otherwise the source is never measured


@pytest.mark.parametrize("spec", PROVIDERS, ids=NAMES)
def test_a_parameter_that_digests_leave_out_at_its_value_has_that_meaning(spec: ProviderSpec) -> None:
    # any other provider with such a parameter has to name it differently, or to write its value into every step
    assert not IMPLIED.keys() & aliases(spec.extend).keys() or spec.name in ("kling", "kling-gateway")


# A submit


def test_an_acceptance_names_the_task_and_the_body_is_the_one_in_the_ledger(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.accepted))) as (provider, server):
        outcome = provider.submit(upstream.request)
        assert isinstance(outcome, Accepted), outcome
        assert (outcome.task_id, outcome.state) == (upstream.task_id, TaskState.SUBMITTED)
        assert json.loads(server.body()) == provider.body(upstream.request)
        assert server.line() == upstream.submit_line
        assert KEY in (server.header("authorization") or "")
        assert server.header("content-type") == "application/json"


@pytest.mark.parametrize("name", NAMES)
def test_the_request_is_shown_to_a_person_at_the_path_that_it_is_sent_to(name: str) -> None:
    upstream = UPSTREAMS[name]
    with serving(upstream, always(answer(200, upstream.accepted))) as (provider, server):
        provider.submit(upstream.request)
        assert server.asked() == ("POST", spec_of(name).submit_path(upstream.request.source_id, None))


@pytest.mark.parametrize(("name", "reason"), REFUSALS)
def test_a_documented_refusal_is_rejected_with_the_providers_message_first(name: str, reason: str) -> None:
    upstream = UPSTREAMS[name]
    status, body = upstream.refusals[reason]
    with serving(upstream, always(answer(status, body, {"Retry-After": "7"}))) as (provider, server):
        outcome = provider.submit(upstream.request)
        assert isinstance(outcome, Rejected), outcome
        assert outcome.reason == RejectReason(reason)
        assert outcome.retry_after_s == 7
        document = json.loads(body)
        message = next(
            value
            for value in (document.get("message"), document.get("detail"), document.get("error"))
            if value is not None and value != ""
        )
        assert outcome.answer.message.startswith(message["message"] if isinstance(message, dict) else message)
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 409, 422, 425, 418, 500, 502, 503, 504, 302, 307])
def test_an_undecided_status_is_unknown_with_any_message(upstream: Upstream, status: int) -> None:
    for body in (bodies.error_object("bad key", "invalid_api_key"), bodies.body({"detail": "Not Found"}), b"<html>"):
        with serving(upstream, always(answer(status, body, {"Location": "/elsewhere"}))) as (provider, server):
            outcome = provider.submit(upstream.request)
            assert isinstance(outcome, Unknown), outcome
            assert outcome.answer.http_status == status
            assert len(server.requests) == 1


def test_the_upstreams_own_5xx_code_is_unknown_too(upstream: Upstream) -> None:
    for status, code in ((500, 5000), (503, 5001), (504, 5002), (502, 1102)):
        with serving(upstream, always(answer(status, failure(code, "maintenance")))) as (provider, _):
            assert isinstance(provider.submit(upstream.request), Unknown)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><title>502 Bad Gateway</title>",
        b"null",
        b"[]",
        b"{}",
        b'"ok"',
        b'{"code": 0',
        b'{"success": false, "error": {"code": "x", "message": "y"}}',
        b'{"error": "y", "id": "6", "data": {"task_id": "6"}, "output": {"task_id": "6"}}',
    ],
)
def test_a_2xx_that_names_no_task_is_unknown(upstream: Upstream, body: bytes) -> None:
    with serving(upstream, always(answer(200, body))) as (provider, _):
        outcome = provider.submit(upstream.request)
        assert isinstance(outcome, Unknown), outcome
    with serving(upstream, always(answer(201, upstream.accepted_without_id))) as (provider, _):
        assert isinstance(provider.submit(upstream.request), Unknown)


def test_a_refusal_that_names_a_task_is_unknown(upstream: Upstream) -> None:
    status, body = upstream.refusals["bad_request"]
    for extra in ({"data": {"task_id": "6"}}, {"task_id": "6", "data": {"task_id": 6}}):
        with serving(upstream, always(answer(status, bodies.body(json.loads(body) | extra)))) as (provider, _):
            assert isinstance(provider.submit(upstream.request), Unknown)


def test_of_two_documents_the_first_counts(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.accepted + b'\n{"error": "late"}'))) as (provider, _):
        assert isinstance(provider.submit(upstream.request), Accepted)


@pytest.mark.parametrize("script", [hang_up, cut(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"), silence])
def test_a_submit_that_is_not_answered_is_unknown_and_sent_once(upstream: Upstream, script: Script) -> None:
    with serving(upstream, script, deadline_s=0.4) as (provider, server):
        assert isinstance(provider.submit(upstream.request), Unknown)
        assert len(server.requests) == 1


def test_a_request_that_was_not_sent_is_rejected_as_unsent(upstream: Upstream) -> None:
    provider = upstream.make(f"http://127.0.0.1:{unused_port()}", 2.0)
    outcome = provider.submit(upstream.request)
    provider.close()
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.UNSENT


def test_without_a_key_nothing_is_sent(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("C_KEY")
    with serving(upstream, always(answer(200, upstream.accepted))) as (provider, server):
        outcome = provider.submit(upstream.request)
        assert isinstance(outcome, Rejected)
        assert outcome.reason is RejectReason.NO_KEY
        assert "C_KEY" in outcome.answer.message
        query = provider.query(upstream.task_id)
        assert isinstance(query, QueryFailed)
        assert query.fault is QueryFault.NO_KEY
        assert server.requests == []


def test_a_parameter_that_config_should_have_caught_is_a_programming_error(upstream: Upstream) -> None:
    provider = upstream.make("http://127.0.0.1:1", 1.0)
    with pytest.raises(ValueError, match="tempo"):
        provider.body(replace(upstream.request, params={**upstream.request.params, "tempo": 1}))
    with pytest.raises(ValueError, match="prompt"):
        provider.body(replace(upstream.request, params={**upstream.request.params, "prompt": 1}))
    provider.close()


# A look-up


def test_a_running_task_is_seen(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.running))) as (provider, server):
        outcome = provider.query(upstream.task_id)
        assert isinstance(outcome, Found), outcome
        assert (outcome.view.task_id, outcome.view.state) == (upstream.task_id, TaskState.PROCESSING)
        assert outcome.view.warnings == ()
        assert outcome.view.added_ms is None
        assert server.line() == upstream.query_line


def test_an_unknown_status_and_a_success_without_a_url_are_still_running_with_a_warning(upstream: Upstream) -> None:
    for body in (upstream.strange, upstream.done_without_url):
        with serving(upstream, always(answer(200, body))) as (provider, _):
            outcome = provider.query(upstream.task_id)
            assert isinstance(outcome, Found), outcome
            assert outcome.view.state is TaskState.PROCESSING
            assert outcome.view.warnings


def test_a_finished_task_shows_its_file_and_what_the_next_hop_extends(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.done))) as (provider, _):
        outcome = provider.query(upstream.task_id)
        assert isinstance(outcome, Found), outcome
        assert outcome.view.state is TaskState.SUCCEEDED
        assert outcome.view.outputs[0].url.startswith("https://")
        assert outcome.view.outputs[0].video_id == upstream.next_source
        many = provider.query_many([upstream.task_id])
        if not provider.query_batch_size:
            assert many == {upstream.task_id: outcome}


def test_a_failed_task_has_its_reason(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.failed))) as (provider, _):
        outcome = provider.query(upstream.task_id)
        assert isinstance(outcome, Found), outcome
        assert (outcome.view.state, outcome.view.message) == (TaskState.FAILED, "too dark")
        assert outcome.view.added_ms is None


def test_an_answer_about_another_task_or_about_none_is_malformed(upstream: Upstream) -> None:
    for body in (upstream.another, upstream.accepted_without_id, b"{}", b"[]", b"<html>", b""):
        with serving(upstream, always(answer(200, body))) as (provider, server):
            outcome = provider.query(upstream.task_id)
            assert isinstance(outcome, QueryFailed), outcome
            assert outcome.fault is QueryFault.MALFORMED
            assert len(server.requests) == 1


def test_only_a_well_formed_refusal_is_an_absence(upstream: Upstream) -> None:
    with serving(upstream, always(answer(404, upstream.no_such_task))) as (provider, _):
        assert isinstance(provider.query(upstream.task_id), NotFound)
    for status, body in ((404, b"<html>404"), (404, b"{}"), (502, upstream.no_such_task), (200, b"null")):
        with serving(upstream, always(answer(status, body))) as (provider, _):
            assert isinstance(provider.query(upstream.task_id), QueryFailed)


@pytest.mark.parametrize(
    ("status", "fault", "request_count"),
    [(401, "auth", 1), (429, "rate", 3), (408, "upstream", 3), (500, "upstream", 3), (504, "upstream", 3)],
)
def test_a_query_is_repeated_where_that_may_help(
    upstream: Upstream, status: int, fault: str, request_count: int
) -> None:
    with serving(upstream, always(answer(status, bodies.error_object("no", "some_error")))) as (provider, server):
        outcome = provider.query(upstream.task_id)
        assert isinstance(outcome, QueryFailed)
        assert (outcome.fault, len(server.requests)) == (QueryFault(fault), request_count)
    with serving(upstream, in_turn(answer(502), answer(200, upstream.done))) as (provider, server):
        assert isinstance(provider.query(upstream.task_id), Found)
        assert len(server.requests) == 2


def test_an_id_that_would_name_another_path_is_not_requested(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.done))) as (provider, server):
        assert isinstance(provider.query(""), QueryFailed)
        assert server.requests == []
        provider.query("../x?y=1&z")
        assert "../" not in server.line()
        assert "&z" not in server.line()


def test_a_key_in_a_response_is_stored_nowhere(upstream: Upstream) -> None:
    for status in (200, 400, 401, 500):
        for body in (
            bodies.error_object(f"key {KEY} is bad", KEY),
            bodies.body({"detail": KEY}),
            bodies.body({"id": KEY, "data": {"task_id": KEY}, "output": {"task_id": KEY}, "code": 0, "message": KEY}),
            f"<title>{KEY}</title>".encode(),
        ):
            with serving(upstream, always(answer(status, body))) as (provider, _):
                assert KEY not in repr(provider.submit(upstream.request))
                assert KEY not in repr(provider.query(upstream.task_id))
                assert KEY not in repr(provider)


def test_a_provider_without_list_and_own_key_fails_without_a_request(upstream: Upstream) -> None:
    with serving(upstream, always(answer(200, upstream.done))) as (provider, server):
        if not provider.can_find:
            assert isinstance(provider.find("own_1"), QueryFailed)
        if not provider.list_page_size:
            assert isinstance(provider.list_page(1, 10), QueryFailed)
        if not (provider.can_find or provider.list_page_size):
            assert server.requests == []
