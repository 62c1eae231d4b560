"""Refusals: business codes, the HTTP status each comes with, and the error envelope."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from starlette.responses import JSONResponse

# docs/upstream/kling.md, "Codes"; the texts are those of the public error table where it is known.
_CODES: dict[int, tuple[int, str]] = {
    1000: (401, "Authentication failed"),
    1001: (401, "Authorization is empty"),
    1002: (401, "Authorization is invalid"),
    1003: (401, "Authorization is not yet valid"),
    1004: (401, "Authorization has expired"),
    1100: (429, "Account exception"),
    1101: (429, "Account in arrears"),
    1102: (429, "Account balance not enough"),
    1103: (403, "Unauthorized access to requested resource"),
    1200: (400, "Invalid request parameters"),
    1201: (400, "Invalid parameters"),
    1202: (404, "The requested method is invalid"),
    1203: (404, "The requested resource does not exist"),
    1300: (400, "Trigger strategy of the platform"),
    1301: (400, "Trigger the content security policy of the platform"),
    1302: (429, "The API request is too fast"),
    1303: (429, "parallel task over resource pack limit"),
    1304: (429, "Trigger the platform's IP whitelisting policy"),
    5000: (500, "Server internal error"),
    5001: (503, "Server temporarily unavailable, usually due to maintenance"),
    5002: (504, "Server internal timeout"),
}
SERVER_ERRORS = {500: 5000, 503: 5001, 504: 5002}


@dataclass(frozen=True)
class Refusal:
    """A request turned down; nothing was made. `message` None says what the error table says."""

    code: int
    message: str | None = None


def request_id() -> str:
    """Return the id that every answer carries."""
    return str(uuid.uuid4())


def status_and_text(code: int) -> tuple[int, str]:
    """Return the HTTP status that a code comes with, and the error table's text for it."""
    return _CODES[code]


def refusal_response(refusal: Refusal) -> JSONResponse:
    """`{code, message, request_id}` with the code's HTTP status."""
    status, text = status_and_text(refusal.code)
    body = {"code": refusal.code, "message": refusal.message or text, "request_id": request_id()}
    return JSONResponse(body, status)
