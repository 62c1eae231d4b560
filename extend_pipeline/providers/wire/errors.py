"""Parse and classify the error bodies of resellers and gateways (docs/upstream/README.md, "Error bodies"). Pure, and
never raises.

The shapes: the origin's `{code, message, request_id, data?}` · `{"error": {message, type, param, code}}` ·
`{"code": "text", "message", "data": null}` · `{"error": "…"}` · `{"detail": "…"}` · `{"detail": {…}}` ·
`{"success": false, "error": {code, message}}`. Of two JSON documents the first counts; HTML has none of these shapes.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.providers.protocol import QueryFault, RejectReason
from extend_pipeline.providers.wire.codes import RULES, SUCCESS, CodeRule
from extend_pipeline.providers.wire.json import NotJson, child, error_message, integer, read_json, text

# With these the outcome of the request is unknown, even if a proxy adds a code (docs/upstream/README.md, "Reading the
# response to a submit").
UNDECIDED_4XX: Final = frozenset({408, 409, 425})
GATEWAY_STATUSES: Final = frozenset({400, 401, 402, 403, 404, 429})
"""With these, a gateway or its origin has rejected the request; any other 4xx is not documented."""

_SUCCESS_WORDS: Final = frozenset({"", "success", "succeed", "ok"})

# Words for a failure between a gateway and its origin, after which the origin may still run the task.
_RELAY_FAILURE: Final = re.compile(
    r"upstream|\borigin\b|bad_response|fail(?:ed)?[_ ]to[_ ]fetch|do_request|time[d]?[ _-]?out|internal|上游|超时",
    re.IGNORECASE,
)
_NO_MONEY: Final = re.compile(
    r"insufficient[ _](?:\w+[ _])?(?:credit|balance|quota|fund)|(?:balance|quota|credits?)[ _]not[ _]enough|arrears"
    r"|quota[ _](?:exceeded|exhausted|used)|余额|欠费|额度",
    re.IGNORECASE,
)
_NO_MONEY_CODES: Final = re.compile(r"insufficient_(?:user_)?(?:quota|balance|credits?)|quota_not_enough|arrears")
_CONTENT: Final = re.compile(
    r"sensitive|moderation|content[ _](?:policy|safety|violation)|safety|violat|违规|敏感", re.IGNORECASE
)
_SLOTS: Final = re.compile(r"concurren|parallel|in[ -]flight|并发|并行", re.IGNORECASE)
_NO_TASK: Final = re.compile(
    r"\b(?:task|generation)(?:[ _-]?id)?(?:[ _-][\w-]{1,64})?[ _-](?:(?:is|was|does|could|can)[ _])?(?:be[ _])?"
    r"(?:not|n't)[ _](?:be(?:en)?[ _])?(?:found|exists?)\b|\bno such (?:task|generation)|任务不存在",
    re.IGNORECASE,
)

_KEY: Final = "check the account's key and its base_url"
_MONEY: Final = "top the account up; nothing is submitted through it until then"
_ALLOWED: Final = "the key's quota is used up, or it may not be used from this address or for this model"
_GONE: Final = "it has expired, or another account made it: it can only be extended there; or base_url is wrong"
_PROMPT: Final = "the prompt or the image has to change"


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """A parsed error body. `code_text` is its code and type as lower-case text; `number` is an integer code."""

    message: str
    code_text: str = ""
    number: int | None = None
    param: str = ""


def read_error(value: object) -> UpstreamError | None:
    """Return the error in a JSON value, or None if it has none of the shapes."""
    if not isinstance(value, dict):
        return None
    error, detail, code = value.get("error"), value.get("detail"), value.get("code")
    if error not in (None, False, "", 0, [], {}):
        source: object = error if isinstance(error, dict) else value
    elif isinstance(detail, dict | list | str) and detail:
        source = detail if isinstance(detail, dict) else value
    elif value.get("success") is False or not _means_success(code):
        source = value
    else:
        return None
    message = error_message(source) or error_message(value) or _validation_messages(detail)
    outer = UpstreamError(
        message,
        code_text=" ".join(word.lower() for key in ("code", "type") if (word := text(child(source, key)))),
        number=integer(child(source, "code")),
        param=text(child(source, "param")),
    )
    return _origin_error(outer) or outer


def has_task_id(value: object) -> bool:
    """Return whether an error body also contains a task id. An id that can't be parsed counts, because then a task may
    exist."""
    for place in (value, *(child(value, key) for key in ("data", "output", "gen_api_response"))):
        if any(child(place, key) not in (None, "") for key in ("task_id", "id")):
            return True
    data = child(value, "data")
    if isinstance(data, list):
        return any(has_task_id(row) for row in data if isinstance(row, dict))
    return isinstance(data, str | int) and not isinstance(data, bool) and data != ""


def is_task_not_found(status: int, error: UpstreamError | None) -> bool:
    """Return whether a well-formed 400 or 404 states that a task does not exist. A bare 404 doesn't count, because any
    server on the way may send it."""
    if error is None or status not in (400, 404):
        return False
    return _NO_TASK.search(error.message) is not None or _NO_TASK.search(error.code_text) is not None


def rule_for(status: int, error: UpstreamError | None, *, documented: frozenset[int]) -> CodeRule | None:
    """Return the meaning of an error, or None if a submit with this response may still have made a task.

    A business code (`wire/codes.py`) is enough. Otherwise it takes a 4xx that the provider documents (`documented`)
    with a readable error, unless its words describe a failure between a gateway and its origin. 5xx, 408, 409 and 425
    never decide.
    """
    if error is None or not 400 <= status < 500 or status in UNDECIDED_4XX:
        return None
    if error.number in RULES:
        rule = RULES[error.number]
        return None if rule.reject is None else rule
    if status not in documented or not (error.message or error.code_text):
        return None
    if error.number not in (None, status) and status not in (401, 403):
        return None  # an undocumented numeric code
    if _RELAY_FAILURE.search(f"{error.code_text} {error.message}"):
        return None
    return _rule_for_status(status, error)


def fault_of(status: int, error: UpstreamError | None) -> tuple[QueryFault, str]:
    """Return why a query failed, and what to do about it."""
    if error is not None and error.number in RULES:
        return RULES[error.number].fault, RULES[error.number].advice
    rule = None if error is None else rule_for(status, error, documented=GATEWAY_STATUSES)
    return (fault_of_status(status), "") if rule is None else (rule.fault, rule.advice)


def fault_of_status(status: int) -> QueryFault:
    """Return why a query failed, from the status alone, as for a response without a code."""
    match status:
        case 401:
            return QueryFault.AUTH
        case 429:
            return QueryFault.RATE
        case 408 | 425:
            return QueryFault.UPSTREAM
        case _:
            return QueryFault.UPSTREAM if status >= 500 else QueryFault.MALFORMED


def _rule_for_status(status: int, error: UpstreamError) -> CodeRule | None:
    no_money = _NO_MONEY_CODES.search(error.code_text) or _NO_MONEY.search(error.message)
    # a transient rejection is sent again automatically, so only the status may make it one, never words in a message
    match status:
        case 400 | 402 | 403 | 429 if no_money:
            return CodeRule(RejectReason.BALANCE, QueryFault.BALANCE, _MONEY)
        case 401:
            return CodeRule(RejectReason.AUTH, QueryFault.AUTH, _KEY)
        case 403:
            return CodeRule(RejectReason.FORBIDDEN, QueryFault.FORBIDDEN, _ALLOWED)
        case 404:
            return CodeRule(RejectReason.NOT_FOUND, QueryFault.MALFORMED, _GONE)
        case 429 if _SLOTS.search(f"{error.code_text} {error.message}"):
            return CodeRule(RejectReason.SLOTS, QueryFault.RATE)
        case 429:
            return CodeRule(RejectReason.RATE, QueryFault.RATE)
        case 400 if _CONTENT.search(f"{error.code_text} {error.message}"):
            return CodeRule(RejectReason.CONTENT, QueryFault.MALFORMED, _PROMPT)
        case 400:
            return CodeRule(RejectReason.BAD_REQUEST, QueryFault.MALFORMED)
        case _:
            return None


def _means_success(code: object) -> bool:
    number = integer(code)
    if number is not None:
        return number in SUCCESS
    return code is None or (isinstance(code, str) and code.strip().lower() in _SUCCESS_WORDS)


def _validation_messages(detail: object) -> str:
    """Return the messages of FastAPI's validation errors: `[{"loc": […], "msg": "…"}]`."""
    rows = detail if isinstance(detail, list) else []
    return "; ".join(message for row in rows[:5] if (message := error_message(row)))


def _origin_error(error: UpstreamError) -> UpstreamError | None:
    """Return the origin's error if a gateway has put the origin's whole body into its message, else None."""
    start = error.message.find("{")
    if start < 0:
        return None
    inner = read_json(error.message[start:].encode("utf-8", "replace"))
    number = None if isinstance(inner, NotJson) else integer(child(inner, "code"))
    if number not in RULES:
        return None
    return replace(error, message=error_message(inner) or error.message, number=number)
