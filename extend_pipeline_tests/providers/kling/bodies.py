"""Bodies as Kling's document prints them (docs/upstream/kling.md, "Query"), with its comments taken out and `boolean`
made one."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

CREATED: Final[dict[str, Any]] = {
    "code": 0,
    "message": "string",
    "request_id": "string",
    "data": {
        "task_id": "string",
        "task_status": "string",
        "task_info": {"external_task_id": "string"},
        "created_at": 1722769557708,
        "updated_at": 1722769557708,
    },
}
TASK: Final[dict[str, Any]] = {
    "task_id": "string",
    "task_status": "string",
    "task_status_msg": "string",
    "task_info": {
        "parent_video": {"id": "string", "url": "string", "duration": "string"},
        "external_task_id": "string",
    },
    "task_result": {"videos": [{"id": "string", "url": "string", "watermark_url": "string", "duration": "string"}]},
    "watermark_info": {"enabled": True},
    "final_unit_deduction": "string",
    "created_at": 1722769557708,
    "updated_at": 1722769557708,
}
SINGLE: Final[dict[str, Any]] = {"code": 0, "message": "string", "request_id": "string", "data": TASK}
LIST: Final[dict[str, Any]] = {"code": 0, "message": "string", "request_id": "string", "data": [TASK]}

DONE: Final[dict[str, Any]] = {
    "task_id": "827942411241803822",
    "task_status": "succeed",
    "task_status_msg": "",
    "task_info": {
        "parent_video": {
            "id": "827000000000000001",
            "url": "https://v1.klingai.com/p.mp4",
            "duration": "5.1",
        },
        "external_task_id": "harbour-dawn_1",
    },
    "task_result": {
        "videos": [
            {
                "id": "827942411241809999",
                "url": "https://v1.klingai.com/a.mp4?sig=abc",
                "watermark_url": "https://v1.klingai.com/w.mp4",
                "duration": "9.6",
            }
        ]
    },
    "watermark_info": {"enabled": False},
    "final_unit_deduction": "3.5",
    "final_balance_deduction": {"quota": "0.49", "list_price": "0.49"},
    "created_at": 1722769557708,
    "updated_at": "1722769857708",
}


def body(value: object) -> bytes:
    """Return a value as the bytes that are sent."""
    return json.dumps(value).encode()


def envelope(data: object = None, **changes: object) -> bytes:
    """Return a success with this data."""
    return body({"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data, **changes})


def failure(code: object, message: str = "some words", **more: object) -> bytes:
    """Return Kling's error envelope."""
    return body({"code": code, "message": message, "request_id": "r-2", **more})


def done(**changes: object) -> dict[str, Any]:
    """Return a finished task with some of its fields changed."""
    return {**copy.deepcopy(DONE), **changes}
