"""The error bodies of resellers' gateways, in each shape that was met (docs/upstream/README.md, "Error bodies")."""

from __future__ import annotations

from typing import assert_never

from starlette.responses import HTMLResponse, JSONResponse, Response

from extend_pipeline.sandbox.surface.errors import Refusal, refusal_response, status_and_text
from extend_pipeline.sandbox.surface.settings import ErrorShape

# By business code, since a gateway's refusals mean what its origin's mean.
_WORDS: dict[int, str] = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), "invalid_api_key"),
    **dict.fromkeys((1100, 1101, 1102), "insufficient_user_quota"),
    **dict.fromkeys((1103, 1304), "forbidden"),
    **dict.fromkeys((1200, 1201), "invalid_request"),
    **dict.fromkeys((1202, 1203), "not_found"),
    **dict.fromkeys((1300, 1301), "content_policy_violation"),
    **dict.fromkeys((1302, 1303), "rate_limit_exceeded"),
    5000: "internal_error",
    5001: "service_unavailable",
    5002: "timeout",
}
# A gateway's own bodies say "no money" with 403; only the origin's say it with 429.
_OWN_STATUS = {1100: 403, 1101: 403, 1102: 403, 1304: 403}


def shaped(shape: ErrorShape, refusal: Refusal) -> Response:
    """Return a refusal in that shape."""
    if shape == "origin":
        return refusal_response(refusal)
    status, text = status_and_text(refusal.code)
    message = refusal.message or text
    word, status = _WORDS[refusal.code], _OWN_STATUS.get(refusal.code, status)
    match shape:
        case "error_object":
            error = {"message": message, "type": "api_error", "param": "", "code": word}
            return JSONResponse({"error": error}, status)
        case "code_text":
            return JSONResponse({"code": word, "message": message, "data": None}, status)
        case "error_text":
            return JSONResponse({"error": message}, status)
        case "detail":
            return JSONResponse({"detail": message}, status)
        case "detail_object":
            return JSONResponse({"detail": {"code": word, "message": message}}, status)
        case "success":
            return JSONResponse({"success": False, "error": {"code": word, "message": message}}, status)
        case "html":
            return HTMLResponse(f"<html><head><title>{status}</title></head><body>{message}</body></html>", status)
        case _:
            assert_never(shape)
