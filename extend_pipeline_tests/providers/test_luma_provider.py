"""What only Luma does: the flat body, wrapped failures, presigned URLs, and several generations in one query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.luma.parse import parse_luma_many, parse_luma_query, parse_luma_submit
from extend_pipeline.providers.luma.provider import BATCH_SIZE, LumaProvider
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    Provider,
    QueryFailed,
    QueryFault,
    Rejected,
    RejectReason,
    SubmitRequest,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline.providers.wire.presigned import presigned_expiry_ms
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    hang_up,
    in_turn,
    raw_server,
)
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies

PARENT = "4665a07c-7641-4809-a133-10786201bb56"
FAST = RetryPolicy(attempts=3, wait_initial_s=0.01, wait_max_s=0.02, min_left_s=0.01)


@contextmanager
def luma(script: Script, *, batch_query: bool = False) -> Iterator[tuple[Provider, RawServer]]:
    with raw_server(script) as server:
        client = ApiClient(
            base_url=server.base_url, auth=KeyAuth(ApiKey(api_key_env="L_KEY")), allow_local=True, retry=FAST
        )
        provider: Provider = LumaProvider(client, batch_query=batch_query)
        yield provider, server
        provider.close()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L_KEY", "canary-api-key-0123456789")


def submit(body: bytes, status: int = 200) -> object:
    return parse_luma_submit(RawResponse(status, body), parent_task_id=PARENT)


def view_of(body: bytes, requested: str = bodies.LUMA_ID) -> TaskView:
    outcome = parse_luma_query(RawResponse(200, body), requested=requested)
    assert isinstance(outcome, Found), outcome
    return outcome.view


# The request


def test_the_documents_example_goes_out_as_it_is_written() -> None:
    with luma(always(answer(201, bodies.LUMA_CREATED))) as (provider, server):
        outcome = provider.submit(SubmitRequest("own_1", PARENT, params={"prompt": "add cat", "expand_prompt": True}))
        assert isinstance(outcome, Accepted)
        assert json.loads(server.body()) == {"user_prompt": "add cat", "expand_prompt": True}


def test_configured_fields_are_sent_and_a_prompt_always() -> None:
    with luma(always(b"")) as (provider, _):
        assert provider.body(SubmitRequest("own_1", PARENT)) == {"user_prompt": ""}
        params = {"prompt": "p", "expand_prompt": False, "image_url": "https://a/b", "image_end_url": "https://a/c"}
        request = SubmitRequest("own_1", PARENT, params=params, callback_url="https://hooks.example.com/x")
        assert provider.body(request) == {
            "user_prompt": "p",
            "expand_prompt": False,
            "image_url": "https://a/b",
            "image_end_url": "https://a/c",
            "notify_hook": "https://hooks.example.com/x",
        }


def test_an_image_in_base64_is_sent_whole_and_stored_short() -> None:
    image = "data:image/png;base64," + "A" * 100_000
    with luma(always(answer(200, bodies.LUMA_CREATED))) as (provider, server):
        request = SubmitRequest("own_1", PARENT, params={"prompt": "p", "image_end_url": image})
        assert isinstance(provider.submit(request), Accepted)
        assert json.loads(server.body())["image_end_url"] == image
        assert len(json.dumps(provider.body(request))) < 400


@pytest.mark.parametrize("source", ["", ".", ".."])
def test_a_source_that_would_name_another_path_is_a_programming_error(source: str) -> None:
    with luma(always(b"")) as (provider, server):
        with pytest.raises(ValueError, match="generation"):
            provider.submit(SubmitRequest("own_1", source))
        assert server.requests == []


# The answer to a submit


def test_the_documents_answer_and_its_schema_are_both_accepted() -> None:
    for status in (200, 201):
        outcome = submit(bodies.LUMA_CREATED, status)
        assert isinstance(outcome, Accepted)
        assert (outcome.task_id, outcome.state) == (bodies.LUMA_ID, TaskState.SUBMITTED)
    outcome = submit(bodies.GATEWAY_CREATED)
    assert isinstance(outcome, Accepted)
    assert outcome.task_id == bodies.GATEWAY_ID


def test_an_answer_that_names_the_parent_or_two_generations_is_unknown() -> None:
    assert isinstance(submit(bodies.body(bodies.generation("pending", id=PARENT))), Unknown)
    two = {**bodies.generation("pending"), "code": 0, "data": {"task_id": "6", "task_status": "submitted"}}
    assert isinstance(submit(bodies.body(two)), Unknown)


def test_a_wrapped_failure_on_submit_is_unknown_and_names_the_generation_to_adopt() -> None:
    outcome = submit(bodies.wrapped(), 201)
    assert isinstance(outcome, Unknown)
    assert bodies.LUMA_ID in outcome.cause
    for body in (
        bodies.wrapped(gen_api_response=None),
        bodies.wrapped(gen_api_status=400, gen_api_response={"detail": "bad"}),
        bodies.wrapped(status="PROCESSING", gen_api_status=500),
    ):
        assert isinstance(submit(body), Unknown)
    assert isinstance(submit(bodies.wrapped(status="SUBMITTED")), Accepted)


def test_a_failure_in_klings_form_is_classified_by_its_code() -> None:
    outcome = submit(bodies.body({"code": 1102, "message": "Account balance not enough", "request_id": "r"}), 429)
    assert isinstance(outcome, Rejected)
    assert outcome.reason is RejectReason.BALANCE


# A look-up


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", TaskState.SUBMITTED),
        ("queued", TaskState.SUBMITTED),
        ("processing", TaskState.PROCESSING),
        ("dreaming", TaskState.PROCESSING),
        ("completed", TaskState.SUCCEEDED),
        ("failed", TaskState.FAILED),
    ],
)
def test_every_known_state_is_read_without_a_warning(status: str, state: TaskState) -> None:
    view = view_of(bodies.body(bodies.generation(status)))
    assert (view.state, view.status_word, view.warnings) == (state, status, ())


def test_a_finished_generation_shows_the_clean_file_its_length_and_when_it_expires() -> None:
    view = view_of(bodies.body(bodies.generation()))
    (output,) = view.outputs
    assert (output.url, output.watermark_url) == (bodies.LUMA_URL, "https://cdn.example.com/m.mp4")
    assert (output.video_id, output.duration_ms) == (bodies.LUMA_ID, 10_042)
    assert view.created_ms == 1734878919947
    assert view.updated_ms is None
    assert view.expires_ms == 1734878919_000 + 3_600_000


def test_without_a_clean_file_the_shown_one_counts() -> None:
    for clean in ("", None, "ftp://x"):
        video = {"url": "https://cdn.example.com/m.mp4", "download_url": clean}
        view = view_of(bodies.body(bodies.generation(video=video, video_raw=None)))
        assert (view.outputs[0].url, view.outputs[0].watermark_url) == ("https://cdn.example.com/m.mp4", None)
        assert (view.outputs[0].duration_ms, view.expires_ms) == (None, None)


def test_a_failure_may_or_may_not_have_a_reason() -> None:
    assert view_of(bodies.body(bodies.generation("failed"))).message == ""
    assert view_of(bodies.body(bodies.generation("failed", failure_reason="dark"))).message == "dark"
    assert view_of(bodies.body(bodies.generation("failed", error={"message": "dim"}))).message == "dim"


def test_a_wrapped_failure_is_the_end_unless_a_finished_video_is_shown() -> None:
    view = view_of(bodies.wrapped())
    assert (view.state, view.task_id) == (TaskState.FAILED, bodies.LUMA_ID)
    assert view.message
    assert view_of(bodies.wrapped(gen_api_response=None)).state is TaskState.FAILED
    finished = view_of(bodies.wrapped("completed"))
    assert finished.state is TaskState.SUCCEEDED
    assert finished.warnings
    unrelated = parse_luma_query(RawResponse(200, bodies.wrapped()), requested="another")
    assert isinstance(unrelated, QueryFailed)
    assert isinstance(parse_luma_query(RawResponse(500, bodies.wrapped()), requested=bodies.LUMA_ID), QueryFailed)


def test_a_task_in_klings_form_is_seen() -> None:
    assert view_of(bodies.GATEWAY_CREATED, bodies.GATEWAY_ID).state is TaskState.SUBMITTED


# Several at once


def test_several_tasks_are_queried_in_one_request_and_matched_by_id() -> None:
    rows = [bodies.generation(id="b"), bodies.generation("failed", id="a"), bodies.generation(id="unrelated"), 7]
    with luma(always(answer(200, bodies.body(rows))), batch_query=True) as (provider, server):
        assert provider.query_batch_size == BATCH_SIZE
        outcomes = provider.query_many(["a", "b", "c", "a"])
        assert server.asked() == ("POST", "/luma/tasks")
        assert json.loads(server.body()) == {"ids": ["a", "b", "c"]}
        assert len(server.requests) == 1
    assert set(outcomes) == {"a", "b"}  # the engine queries "c" singly
    assert [outcomes[key].view.state for key in "ab" if isinstance(outcomes[key], Found)] == [  # type: ignore[union-attr]
        TaskState.FAILED,
        TaskState.SUCCEEDED,
    ]


def test_more_tasks_than_a_batch_are_queried_in_parts() -> None:
    ids = [f"id-{number}" for number in range(BATCH_SIZE + 1)]
    with luma(always(answer(200, b"[]")), batch_query=True) as (provider, server):
        outcomes = provider.query_many(ids)
        assert [len(json.loads(server.body(index))["ids"]) for index in (0, 1)] == [BATCH_SIZE, 1]
        assert len(server.requests) == 2
        assert outcomes == {}
        assert provider.query_many([]) == {}


def test_a_batch_query_by_post_is_repeated_like_a_get() -> None:
    good = answer(200, bodies.body([bodies.generation(id="a")]))
    with luma(in_turn(answer(502), answer(429), good), batch_query=True) as (provider, server):
        assert isinstance(provider.query_many(["a"])["a"], Found)
        assert len(server.requests) == 3
    with luma(hang_up, batch_query=True) as (provider, server):
        outcomes = provider.query_many(["a", "b"])
        assert len(server.requests) == 3
    assert set(outcomes) == {"a", "b"}
    for outcome in outcomes.values():
        assert isinstance(outcome, QueryFailed)
        assert outcome.fault is QueryFault.UNREACHABLE


def test_an_id_that_occurs_twice_in_a_response_has_no_outcome() -> None:
    rows = [bodies.generation(id="a"), bodies.generation("failed", id="a"), bodies.generation(id="b")]
    outcomes = parse_luma_many(RawResponse(200, bodies.body(rows)), requested=["a", "b"])
    assert isinstance(outcomes, dict)
    assert set(outcomes) == {"b"}


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b"{}", None),
        (200, b"<html>", None),
        (404, b'{"error": "Invalid URL (POST /luma/tasks)"}', None),
        (401, b'{"error": "bad key"}', QueryFault.AUTH),
        (403, b'{"error": "not allowed"}', QueryFault.FORBIDDEN),
        (500, b"", QueryFault.UPSTREAM),
    ],
)
def test_without_an_array_tasks_are_queried_singly_unless_that_would_fail_the_same_way(
    status: int, body: bytes, fault: QueryFault | None
) -> None:
    with luma(always(answer(status, body)), batch_query=True) as (provider, _):
        outcomes = provider.query_many(["a", "b"])
    faults = {outcome.fault for outcome in outcomes.values() if isinstance(outcome, QueryFailed)}
    assert faults == (set() if fault is None else {fault})
    assert len(outcomes) == (0 if fault is None else 2)


def test_without_the_setting_tasks_are_queried_singly() -> None:
    with luma(always(answer(200, bodies.body(bodies.generation(id="a"))))) as (provider, server):
        assert provider.query_batch_size == 0
        outcomes = provider.query_many(["a", "b"])
        assert isinstance(outcomes["a"], Found)
        assert isinstance(outcomes["b"], QueryFailed)
        assert server.asked(0) == ("GET", "/luma/generations/a")


# Presigned URLs


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("X-Amz-Date=20241222T144839Z&X-Amz-Expires=3600", 1734882519_000),
        ("x-amz-expires=1&x-amz-date=19700101T000000Z", 1000),
        ("X-Amz-Date=20241222T144839Z", None),
        ("X-Amz-Date=20241399T144839Z&X-Amz-Expires=3600", None),
        ("X-Amz-Date=2024&X-Amz-Expires=3600", None),
        ("X-Amz-Date=20241222T144839Z&X-Amz-Expires=-1", None),
        ("X-Amz-Date=20241222T144839Z&X-Amz-Expires=99999999", None),
        ("&".join(["a=b"] * 200), None),
        ("", None),
    ],
)
def test_the_end_of_a_presigned_url_is_read(query: str, expected: int | None) -> None:
    assert presigned_expiry_ms(f"https://cdn.example.com/a.mp4?{query}") == expected
    assert presigned_expiry_ms("https://[broken") is None
