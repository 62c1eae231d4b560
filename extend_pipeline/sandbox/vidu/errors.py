"""ModelVerse's refusals: `{"error": {message, type, code, param}}`, the request's id in `param` (docs/upstream/vidu.md,
"Codes")."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Literal

from starlette.responses import JSONResponse

Word = Literal[
    "param_error", "sensitive_check_error", "auth_error", "forbidden", "rate_limit", "server_error", "timeout"
]

_STATUS: dict[Word, int] = {
    "param_error": 400,
    "sensitive_check_error": 400,
    "auth_error": 401,
    "forbidden": 403,
    "rate_limit": 429,
    "server_error": 500,
    "timeout": 504,
}
NO_MONEY = "the quota of this key is used up"
# What Kling says by these codes, in ModelVerse's words, so that one order of a fault does for every surface.
_BY_CODE: dict[int, tuple[Word, str]] = {
    **dict.fromkeys((1000, 1001, 1002, 1003, 1004), ("auth_error", "the API key is invalid")),
    **dict.fromkeys((1100, 1101, 1102), ("forbidden", NO_MONEY)),
    1103: ("forbidden", "this key may not use the model"),
    1304: ("forbidden", "this IP is not on the key's list"),
    **dict.fromkeys((1200, 1201, 1202, 1203), ("param_error", "invalid parameter")),
    **dict.fromkeys((1300, 1301), ("sensitive_check_error", "the input did not pass the content check")),
    **dict.fromkeys((1302, 1303), ("rate_limit", "too many requests")),
}


@dataclass(frozen=True)
class Refusal:
    """A request turned down; nothing was made."""

    word: Word
    message: str


def param_error(message: str) -> Refusal:
    """Return the refusal of a body or a query that is not as documented."""
    return Refusal("param_error", message)


def by_code(code: int) -> Refusal:
    """Return the refusal that means what Kling means by that business code."""
    return Refusal(*_BY_CODE[code])


def refusal_response(refusal: Refusal, status: int | None = None) -> JSONResponse:
    """Return the error envelope, with the word's own HTTP status unless another is given."""
    error = {
        "message": refusal.message,
        "type": refusal.word,
        "code": refusal.word,
        "param": str(uuid.uuid4()),
    }
    return JSONResponse({"error": error}, status or _STATUS[refusal.word])
