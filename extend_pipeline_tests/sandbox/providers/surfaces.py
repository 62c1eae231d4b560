"""Clients of the three surfaces beside Kling, for the sandbox's tests: one sandbox, one key each."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any

import httpx

from extend_pipeline.sandbox import SandboxHandle

_numbers = itertools.count(1)


class Client(ABC):
    """A sandbox and a client of one of its surfaces."""

    provider = ""
    authorization = ""

    def __init__(self, handle: SandboxHandle) -> None:
        self.handle = handle
        headers = {"Authorization": self.authorization}
        self.http = httpx.Client(base_url=handle.base_url, headers=headers, timeout=10, trust_env=False)

    def source(self, **fields: Any) -> str:
        """Seed a new source and return the id or URL that `submit` takes."""
        seed = {"video_id": f"{self.provider}-{next(_numbers)}", "duration": 5, "provider": self.provider, **fields}
        self.handle.seed([seed])
        return str(seed["video_id"])

    def fault(self, kind: str, where: str = "submit", **fields: Any) -> None:
        """Arm a fault for this surface alone."""
        self.handle.faults([{"kind": kind, "where": where, "match": {"provider": self.provider}, **fields}])

    @abstractmethod
    def submit(self, source: str, **fields: Any) -> httpx.Response:
        """Submit one extension of a source."""

    @abstractmethod
    def task_id(self, response: httpx.Response) -> str:
        """Return the id of the task that a response names."""

    @abstractmethod
    def ask(self, task_id: str) -> httpx.Response:
        """Query a task and return the response."""

    @abstractmethod
    def state(self, body: Any) -> str:
        """Return the state that a body has, as the surface spells it."""

    @abstractmethod
    def url(self, body: Any) -> str:
        """Return the URL of the result."""

    def extend(self, source: str, **fields: Any) -> str:
        """Submit and return the task's id."""
        response = self.submit(source, **fields)
        assert response.status_code in (200, 201), response.text
        return self.task_id(response)

    def query(self, task_id: str) -> Any:
        response = self.ask(task_id)
        assert response.status_code == 200, response.text
        return response.json()

    def charged(self) -> int:
        """Return the number of this surface's charges that were not refunded."""
        (account,) = [row for row in self.handle.charges()["by_account"].values() if row["provider"] == self.provider]
        return int(account["charges"])


class Gateway(Client):
    provider, authorization = "kling-gateway", "Bearer sandbox-gateway-key"
    PATH = "/kling/v1/videos/video-extend"

    def submit(self, source: str, **fields: Any) -> httpx.Response:
        return self.http.post(self.PATH, json={"video_id": source, **fields})

    def task_id(self, response: httpx.Response) -> str:
        return str(response.json()["data"]["task_id"])

    def ask(self, task_id: str) -> httpx.Response:
        return self.http.get(f"{self.PATH}/{task_id}")

    def state(self, body: Any) -> str:
        return str(body["data"]["task_status"])

    def url(self, body: Any) -> str:
        return str(body["data"]["task_result"]["videos"][0]["url"])


class Vidu(Client):
    provider, authorization = "vidu", "sandbox-vidu-key"

    def source(self, **fields: Any) -> str:
        return self.handle.source_url(super().source(**fields))

    def body(self, source: str, **fields: Any) -> dict[str, Any]:
        """Return a submit's body, with the fields where docs/upstream/vidu.md, "Submit" has them."""
        inputs = {name: fields.pop(name) for name in ("last_frame_url", "prompt") if name in fields}
        model = fields.pop("model", "viduq2-turbo")
        parameters = {"vidu_type": "extend", **fields}
        return {"model": model, "input": {"video_url": source, **inputs}, "parameters": parameters}

    def submit(self, source: str, **fields: Any) -> httpx.Response:
        return self.http.post("/v1/tasks/submit", json=self.body(source, **fields))

    def task_id(self, response: httpx.Response) -> str:
        return str(response.json()["output"]["task_id"])

    def ask(self, task_id: str) -> httpx.Response:
        return self.http.get("/v1/tasks/status", params={"task_id": task_id})

    def state(self, body: Any) -> str:
        return str(body["output"]["task_status"])

    def url(self, body: Any) -> str:
        (url,) = body["output"]["urls"]
        return str(url)

    def error(self, response: httpx.Response) -> tuple[int, str]:
        error = response.json()["error"]
        assert list(error) == ["message", "type", "code", "param"]
        return response.status_code, error["code"]


class Luma(Client):
    provider, authorization = "luma", "Bearer sandbox-luma-key"

    def submit(self, source: str, **fields: Any) -> httpx.Response:
        return self.http.post(f"/luma/generations/{source}/extend", json={"user_prompt": "add cat", **fields})

    def task_id(self, response: httpx.Response) -> str:
        return str(response.json()["id"])

    def ask(self, task_id: str) -> httpx.Response:
        return self.http.get(f"/luma/generations/{task_id}")

    def state(self, body: Any) -> str:
        return str(body["state"])

    def url(self, body: Any) -> str:
        return str(body["video"]["download_url"])
