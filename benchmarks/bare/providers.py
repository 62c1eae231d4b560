"""The four providers' calls, as a script would write them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

_KLING, _GATEWAY = "/v1/videos/video-extend", "/kling/v1/videos/video-extend"


@dataclass(frozen=True)
class Result:
    """A finished task: where its film is, and what the next hop extends."""

    url: str
    source: str


def headers(provider: str) -> dict[str, str]:
    """Return the header that signs in at the sandbox."""
    # imported here because the other engines' environments have the calls alone
    from extend_pipeline.sandbox import SandboxConfig

    config = SandboxConfig()
    keys = {"kling-gateway": config.gateway.key, "vidu": config.vidu.key, "luma": config.luma.key}
    if provider in keys:
        return {"Authorization": f"Bearer {keys[provider]}"}
    now = int(time.time())
    claims = {"iss": config.access_key, "exp": now + 1800, "nbf": now - 5}
    return {"Authorization": f"Bearer {jwt.encode(claims, config.secret_key, algorithm='HS256')}"}


def submit(client: httpx.Client, provider: str, source: str, own_id: str) -> str:
    """Submit one extension of a source; return the task's id."""
    match provider:
        case "kling":
            body: dict[str, Any] = {"video_id": source, "prompt": "the fog lifts", "external_task_id": own_id}
            return str(_json(client.post(_KLING, json=body))["data"]["task_id"])
        case "kling-gateway":
            body = {"video_id": source, "prompt": "the fog lifts"}
            return str(_json(client.post(_GATEWAY, json=body))["data"]["task_id"])
        case "vidu":
            settings = {"vidu_type": "extend", "duration": 4, "resolution": "540p"}
            body = {"model": "viduq2-turbo", "input": {"video_url": source, "prompt": "the fog lifts"}}
            body["parameters"] = settings
            return str(_json(client.post("/v1/tasks/submit", json=body))["output"]["task_id"])
        case _:
            body = {"user_prompt": "the fog lifts"}
            return str(_json(client.post(f"/luma/generations/{source}/extend", json=body))["id"])


def query(client: httpx.Client, provider: str, task_id: str) -> Result | None:
    """Query a task; None while it runs."""
    match provider:
        case "kling" | "kling-gateway":
            path = _KLING if provider == "kling" else _GATEWAY
            task = _json(client.get(f"{path}/{task_id}"))["data"]
            if task["task_status"] != "succeed":
                return None
            video = task["task_result"]["videos"][0]
            return Result(video["url"], video["id"])
        case "vidu":
            output = _json(client.get("/v1/tasks/status", params={"task_id": task_id}))["output"]
            return Result(output["urls"][0], output["urls"][0]) if output["task_status"] == "Success" else None
        case _:
            body = _json(client.get(f"/luma/generations/{task_id}"))
            return Result(body["video"]["download_url"], task_id) if body["state"] == "completed" else None


def _json(response: httpx.Response) -> Any:
    return response.raise_for_status().json()
