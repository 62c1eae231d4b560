"""Bodies of Kling's billing routes, as its pages print them."""

from __future__ import annotations

import json
from typing import Any, Final

ROW: Final[dict[str, Any]] = {
    "package_id": "pack-1",
    "product_type": "video",
    "task_id": "827942411241803822",
    "api_key_name": "main",
    "product_function": "Video Extension",
    "model_name": "kling-v1-6",
    "resolution": "720p",
    "duration": "9.6",
    "deduction_time": "1779549455861",
    "unit_before_deduction": 13037.3,
    "deduction_amount": 3.5,
    "unit_after_deduction": 13033.8,
}


def row(**changes: Any) -> dict[str, Any]:
    """Return a deduction with some fields changed."""
    return {**ROW, **changes}


def page(*rows: object, more: object = False, cursor: object = "", **changes: Any) -> bytes:
    """Return a page of the bill."""
    result = {"detail": list(rows), "count": len(rows)}
    data = {"result": result, "next_cursor": cursor, "has_more": more, **changes}
    return json.dumps({"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data}).encode()
