"""KlingProvider over real sockets, on a server whose every byte a test decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.protocol import (
    SubmitRequest,
)
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    answer,
    raw_server,
)
from extend_pipeline_tests.providers.kling.bodies import envelope

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
