"""Fixtures of the sandbox's tests: sandboxes on loopback, and a client that speaks Kling to one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline_tests.sandbox.providers.surfaces import Client, Gateway, Luma, Vidu

PATH = "/v1/videos/video-extend"
_numbers = itertools.count(1)
Received = list[tuple[dict[str, str], bytes]]


def make_jwt(
    *,
    key: str = "sandbox-access",
    secret: str = "sandbox-secret-of-32-bytes-or-more",
    exp: float = 1800,
    nbf: float = -5,
) -> str:
    """Return a token as a client makes it; `exp` and `nbf` in seconds from now."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    now = int(time.time())
    header = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    claims = part(json.dumps({"iss": key, "exp": now + exp, "nbf": now + nbf}).encode())
    signed = f"{header}.{claims}"
    return f"{signed}.{part(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def eventually(condition: Callable[[], Any], *, within: float = 10.0) -> Any:
    """Return the first true value of `condition`, polled for at most `within` seconds."""
    deadline = time.monotonic() + within
    pause = 0.005
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(pause)
    return value


class Kling:
    """A sandbox and a client with its API key."""

    def __init__(self, handle: SandboxHandle) -> None:
        self.handle = handle
        headers = {"Authorization": "Bearer sandbox-api-key"}
        self.http = httpx.Client(base_url=handle.base_url, headers=headers, timeout=10, trust_env=False)

    def source(self, **fields: Any) -> str:
        """Seed a new source video and return its id."""
        seed = {"video_id": f"source-{next(_numbers)}", "duration": 5.1, **fields}
        self.handle.seed([seed])
        return str(seed["video_id"])

    def submit(self, video_id: str, **fields: Any) -> httpx.Response:
        return self.http.post(PATH, json={"video_id": video_id, **fields})

    def extend(self, video_id: str, **fields: Any) -> dict[str, Any]:
        """Submit and query at once; return the finished task's data (with a run time of 0)."""
        response = self.submit(video_id, **fields)
        assert response.status_code == 200, response.text
        return self.query(response.json()["data"]["task_id"])

    def query(self, key: str) -> dict[str, Any]:
        response = self.http.get(f"{PATH}/{key}")
        assert response.status_code == 200, response.text
        return dict(response.json()["data"])

    def code(self, response: httpx.Response) -> tuple[int, int]:
        return response.status_code, response.json()["code"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Kling]]:
    """Yield a function that starts a sandbox for this test alone; all end with the test."""
    with ExitStack() as stack:

        def run(state: str = "state", **config: Any) -> Kling:
            handle = stack.enter_context(
                running_sandbox(tmp_path / state, SandboxConfig(**{"run_time": (0, 0), "slots": 500, **config}))
            )
            kling = Kling(handle)
            stack.callback(kling.http.close)
            return kling

        yield run


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kling]:
    config = SandboxConfig(run_time=(0, 0), slots=500)
    with running_sandbox(tmp_path_factory.mktemp("sandbox"), config) as handle:
        kling = Kling(handle)
        yield kling
        kling.http.close()


@pytest.fixture
def kling(shared: Kling) -> Iterator[Kling]:
    """Yield a sandbox that a module shares, with a run time of 0 and no armed faults."""
    yield shared
    shared.handle.clear_faults()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Yield a function that starts a sandbox for this test alone and returns a client of one of its surfaces."""
    with ExitStack() as stack:

        def start_one(client: type[Client], state: str = "state", **config: Any) -> Client:
            handle = stack.enter_context(
                running_sandbox(tmp_path / state, SandboxConfig(**{"run_time": (0, 0), "slots": 500, **config}))
            )
            made = client(handle)
            stack.callback(made.http.close)
            return made

        yield start_one


def _client_of(shared: Kling, client: type[Client]) -> Iterator[Any]:
    made = client(shared.handle)
    yield made
    made.http.close()
    shared.handle.clear_faults()


@pytest.fixture
def gateway(shared: Kling) -> Iterator[Gateway]:
    yield from _client_of(shared, Gateway)


@pytest.fixture
def vidu(shared: Kling) -> Iterator[Vidu]:
    yield from _client_of(shared, Vidu)


@pytest.fixture
def luma(shared: Kling) -> Iterator[Luma]:
    yield from _client_of(shared, Luma)


@pytest.fixture(params=[Gateway, Vidu, Luma], ids=lambda client: client.provider)
def client(shared: Kling, request: pytest.FixtureRequest) -> Iterator[Client]:
    """Yield a client of each of the three surfaces in turn."""
    yield from _client_of(shared, request.param)


@pytest.fixture
def receiver() -> Iterator[tuple[str, Received]]:
    """Yield the URL of a real HTTP server, and the list of the requests posted to it."""
    received: Received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?token=1", received
        server.shutdown()
        thread.join()
