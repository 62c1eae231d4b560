"""Bodies of the gateway, Vidu and Luma: the examples of their documents letter for letter, and what
docs/upstream/README.md says beyond them."""

from __future__ import annotations

import json
from typing import Any, Final

# docs/upstream/kling-gateway.md, "Submit"
GATEWAY_CREATED: Final = (
    b'{\r\n    "code": 0,\r\n    "message": "SUCCEED",\r\n'
    b'    "request_id": "d57c7fa4-9f49-4bd5-8fb1-a840bb466d3d",\r\n    "data": {\r\n'
    b'        "task_id": "815336423632572487",\r\n        "task_status": "submitted",\r\n'
    b'        "created_at": 1762419870395,\r\n        "updated_at": 1762419870395\r\n    }\r\n}'
)

# docs/upstream/vidu.md, "Submit" and "Query"
VIDU_CREATED: Final = b'{\n  "output": {\n    "task_id": "task_id"\n  },\n  "request_id": "request_id"\n}'
VIDU_DONE: Final = (
    b'{\n  "output": {\n    "task_id": "task_id",\n    "task_status": "Success",\n'
    b'    "urls": ["https://xxxxx/xxxx-extended.mp4"],\n    "submit_time": 1756959000,\n'
    b'    "finish_time": 1756959050\n  },\n  "usage": {\n    "duration": 5\n  },\n  "request_id": ""\n}'
)

# docs/upstream/luma.md, "Submit"
LUMA_CREATED: Final = (
    b'{\r\n "id": "749d328e-4fd0-43a8-8c89-32394d60da69",\r\n "prompt": "",\r\n "state": "pending",\r\n'
    b' "queue_state": null,\r\n "created_at": "2024-12-22T14:48:39.947851Z",\r\n "batch_id": "",\r\n'
    b' "video": null,\r\n "video_raw": null,\r\n "liked": null,\r\n "estimate_wait_seconds": null,\r\n'
    b' "thumbnail": null,\r\n "last_frame": null\r\n}'
)

GATEWAY_ID: Final = "815336423632572487"
VIDU_ID: Final = "task_id"
LUMA_ID: Final = "749d328e-4fd0-43a8-8c89-32394d60da69"
LUMA_URL: Final = (
    "https://cdn.example.com/v/clean.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20241222T144839Z"
    "&X-Amz-Expires=3600&X-Amz-Signature=abc"
)


def body(value: object) -> bytes:
    """Return a value as the bytes that are sent."""
    return json.dumps(value).encode()


def gateway(**changes: object) -> bytes:
    """Return a look-up through a gateway that rewrote Kling's body: code 200, seconds, and a video with only a URL."""
    data: dict[str, Any] = {
        "updated_at": 1762420170,
        "created_at": "1762419870",
        "task_status": "succeed",
        "task_id": GATEWAY_ID,
        "final_unit_deduction": "2",
        "task_result": {"videos": [{"url": "https://cdn.example.com/k.mp4"}]},
    }
    return body({"data": {**data, **changes}, "code": 200, "message": "OK", "request_id": "r-1"})


def vidu(status: str = "Success", **changes: object) -> bytes:
    """Return a look-up at ModelVerse; it has `usage` with every status."""
    output: dict[str, Any] = {"task_id": VIDU_ID, "task_status": status, "submit_time": 1756959000}
    if status == "Success":
        output |= {"urls": ["https://cdn.example.com/v.mp4"], "finish_time": 1756959050}
    return body({"output": {**output, **changes}, "usage": {"duration": 5}, "request_id": ""})


def generation(state: str = "completed", **changes: object) -> dict[str, Any]:
    """Return Luma's flat body."""
    value: dict[str, Any] = {**json.loads(LUMA_CREATED), "state": state}
    if state == "completed":
        value["video"] = {"url": "https://cdn.example.com/m.mp4", "width": 1, "height": 1, "download_url": LUMA_URL}
        value["video_raw"] = {"duration": 10.0416}
        value["artifact"] = {"created_at": "0001-01-01T00:00:00Z"}
    return {**value, **changes}


def wrapped(state: str = "pending", **changes: object) -> bytes:
    """Return a gateway's record of a failure around Luma's body."""
    return body(
        {"gen_api_response": generation(state), "gen_api_status": 201, "status": "FAILED"} | changes,
    )


def error_object(message: str, code: str = "", **more: object) -> bytes:
    """Return `{"error": {message, type, param, code}}`."""
    return body({"error": {"message": message, "type": code, "param": "req-1", "code": code, **more}})
