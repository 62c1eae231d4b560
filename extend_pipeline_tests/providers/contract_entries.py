"""One entry per provider for the contract suite: how its client is made, and its bodies for the same events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.luma.provider import LumaProvider
from extend_pipeline.providers.protocol import (
    Provider,
    SubmitRequest,
)
from extend_pipeline.providers.vidu.provider import ViduProvider
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import Auth, KeyAuth
from extend_pipeline_tests.providers.kling.bodies import DONE, done, envelope, failure
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies

KEY = "canary-api-key-0123456789"
FAST = RetryPolicy(attempts=3, wait_initial_s=0.01, wait_max_s=0.02, min_left_s=0.01)
VIDU_PARAMS = {"prompt": "p", "model": "viduq2-turbo", "seconds": 5, "resolution": "720p"}


@dataclass(frozen=True)
class Upstream:
    """One provider, and its bodies for the same events."""

    make: Callable[[str, float], Provider]
    request: SubmitRequest
    task_id: str
    submit_line: str
    query_line: str
    accepted: bytes
    accepted_without_id: bytes
    running: bytes
    strange: bytes
    done: bytes
    done_without_url: bytes
    failed: bytes
    another: bytes
    no_such_task: bytes
    refusals: dict[str, tuple[int, bytes]]
    next_source: str | None


def client(url: str, deadline_s: float, auth: Auth | None = None) -> ApiClient:
    return ApiClient(
        base_url=url,
        auth=auth or KeyAuth(ApiKey(api_key_env="C_KEY")),
        allow_local=True,
        post_deadline_s=deadline_s,
        get_deadline_s=deadline_s,
        retry=FAST,
    )


def _kling(url: str, deadline_s: float) -> Provider:
    return KlingProvider(client(url, deadline_s, KlingAuth(ApiKey(api_key_env="C_KEY"))))


KLING_REFUSALS = {
    "auth": (401, failure(1002, "no such key")),
    "balance": (429, failure(1102, "Account balance not enough")),
    "forbidden": (403, failure(1103, "not allowed")),
    "bad_request": (400, failure(1200, "bad request")),
    "not_found": (404, failure(1203, "no such video")),
    "content": (400, failure(1301, "content refused")),
    "rate": (429, failure(1302, "slower")),
    "slots": (429, failure(1303, "parallel task over resource pack limit")),
}
KLING_PATH = "/v1/videos/video-extend"
UPSTREAMS = {
    "kling": Upstream(
        make=_kling,
        request=SubmitRequest("own_1", "827", params={"prompt": "p"}),
        task_id=DONE["task_id"],
        submit_line=f"POST {KLING_PATH} HTTP/1.1",
        query_line=f"GET {KLING_PATH}/{DONE['task_id']} HTTP/1.1",
        accepted=envelope({"task_id": DONE["task_id"], "task_status": "submitted"}),
        accepted_without_id=envelope({"task_status": "submitted"}),
        running=envelope(done(task_status="processing", task_result={})),
        strange=envelope(done(task_status="pondering")),
        done=envelope(DONE),
        done_without_url=envelope(done(task_result={"videos": None})),
        failed=envelope(done(task_status="failed", task_status_msg="too dark", task_result={})),
        another=envelope(done(task_id="5", task_info={})),
        no_such_task=failure(1203, "Task not found"),
        refusals=KLING_REFUSALS,
        next_source="827942411241809999",
    ),
    "kling-gateway": Upstream(
        make=lambda url, deadline_s: GatewayProvider(client(url, deadline_s)),
        request=SubmitRequest("own_1", "827", params={"prompt": "p"}, parent_task_id="814"),
        task_id=bodies.GATEWAY_ID,
        submit_line=f"POST /kling{KLING_PATH} HTTP/1.1",
        query_line=f"GET /kling{KLING_PATH}/{bodies.GATEWAY_ID} HTTP/1.1",
        accepted=bodies.GATEWAY_CREATED,
        accepted_without_id=envelope({"task_status": "submitted"}),
        running=bodies.gateway(task_status="processing", task_result=None),
        strange=bodies.gateway(task_status="pondering"),
        done=bodies.gateway(),
        done_without_url=bodies.gateway(task_result={"videos": [{"url": ""}]}),
        failed=bodies.gateway(task_status="failed", task_status_msg="too dark"),
        another=bodies.gateway(task_id="5"),
        no_such_task=failure(1203, "Task not found"),
        refusals={
            **KLING_REFUSALS,
            "auth": (401, bodies.error_object("Invalid token", "invalid_api_key")),
            "balance": (403, bodies.body({"code": "insufficient_user_quota", "message": "余额不足", "data": None})),
            "rate": (429, bodies.body({"error": "too many requests"})),
        },
        next_source=None,
    ),
    "vidu": Upstream(
        make=lambda url, deadline_s: ViduProvider(client(url, deadline_s, KeyAuth(ApiKey(api_key_env="C_KEY"), ""))),
        request=SubmitRequest("own_1", "https://cdn.example.com/s.mp4", params=VIDU_PARAMS),
        task_id=bodies.VIDU_ID,
        submit_line="POST /v1/tasks/submit HTTP/1.1",
        query_line=f"GET /v1/tasks/status?task_id={bodies.VIDU_ID} HTTP/1.1",
        accepted=bodies.VIDU_CREATED,
        accepted_without_id=bodies.body({"output": {"task_id": ""}, "request_id": "r"}),
        running=bodies.vidu("Running"),
        strange=bodies.vidu("Pondering"),
        done=bodies.vidu(),
        done_without_url=bodies.vidu(urls=[]),
        failed=bodies.vidu("Failure", error_message="too dark"),
        another=bodies.vidu(task_id="5"),
        no_such_task=bodies.error_object("task not found", "param_error"),
        refusals={
            "auth": (401, bodies.error_object("bad key", "auth_error")),
            "forbidden": (403, bodies.error_object("IP not on the list", "forbidden")),
            "bad_request": (400, bodies.error_object("duration has to be 1-7", "param_error")),
            "content": (400, bodies.error_object("refused", "sensitive_check_error")),
            "rate": (429, bodies.error_object("slower", "rate_limit")),
        },
        next_source="https://cdn.example.com/v.mp4",
    ),
    "luma": Upstream(
        make=lambda url, deadline_s: LumaProvider(client(url, deadline_s)),
        request=SubmitRequest("own_1", "4665a07c-7641-4809-a133-10786201bb56", params={"prompt": "add cat"}),
        task_id=bodies.LUMA_ID,
        submit_line="POST /luma/generations/4665a07c-7641-4809-a133-10786201bb56/extend HTTP/1.1",
        query_line=f"GET /luma/generations/{bodies.LUMA_ID} HTTP/1.1",
        accepted=bodies.LUMA_CREATED,
        accepted_without_id=bodies.body(bodies.generation("pending", id=None)),
        running=bodies.body(bodies.generation("dreaming")),
        strange=bodies.body(bodies.generation("pondering")),
        done=bodies.body(bodies.generation()),
        done_without_url=bodies.body(bodies.generation(video=None)),
        failed=bodies.body(bodies.generation("failed", failure_reason="too dark")),
        another=bodies.body(bodies.generation(id="5")),
        no_such_task=bodies.body({"detail": "Generation not found"}),
        refusals={
            "auth": (401, bodies.error_object("bad key", "invalid_api_key")),
            "balance": (400, bodies.body({"detail": "Insufficient credits"})),
            "forbidden": (403, bodies.body({"success": False, "error": {"code": "forbidden", "message": "no"}})),
            "bad_request": (400, bodies.body({"detail": {"message": "image_url can't be read"}})),
            "not_found": (404, bodies.body({"error": "generation 4665 is not here"})),
            "content": (400, bodies.error_object("the prompt failed moderation", "invalid_request_error")),
            "rate": (429, bodies.error_object("slower", "rate_limit_exceeded")),
            "slots": (429, bodies.body({"detail": "too many concurrent generations"})),
        },
        next_source=bodies.LUMA_ID,
    ),
}
