"""Raw and parsed HTTP responses, and the classification that all providers share. Pure, and never raises."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from extend_pipeline.base.scrub import RAW_CAP, scrub
from extend_pipeline.providers.http.results import NoResponse, Reply
from extend_pipeline.providers.protocol import (
    Answer,
    NotFound,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    Rejected,
    SubmitOutcome,
    TaskState,
    Unknown,
)
from extend_pipeline.providers.wire.errors import (
    UpstreamError,
    fault_of,
    has_task_id,
    is_task_not_found,
    read_error,
    rule_for,
)
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import NotJson, child, read_json, text

MESSAGE_CAP: Final = 500  # characters of an error's message
CODE_CAP: Final = 64


@dataclass(frozen=True, slots=True)
class RawResponse:
    """The parts of a complete HTTP response that a parser needs. `secrets` must not be stored; `retry_after_s` is the
    upstream's Retry-After."""

    status: int
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    retry_after_s: float | None = None

    @property
    def guard(self) -> Guard:
        """Return the filter for the values of this response."""
        return Guard(self.secrets)

    def scrubbed(self, value: str, cap: int) -> str:
        """Return a text without secrets, of at most `cap` characters."""
        return scrub(value, secrets=self.secrets, cap=cap)


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A parsed response. If the body is not JSON, `value` is None and `problem` is the reason. `error` and `answer` are
    parsed from all known error shapes."""

    raw: RawResponse
    value: object
    error: UpstreamError | None
    answer: Answer
    problem: str = ""

    @property
    def readable(self) -> bool:
        """Return whether this is a 2xx with JSON, which may contain a task even beside an error."""
        return 200 <= self.raw.status < 300 and not self.problem

    @property
    def ok(self) -> bool:
        """Return whether this is a 2xx with JSON without an error."""
        return self.readable and self.error is None

    @property
    def guard(self) -> Guard:
        """Return the filter for the values of this response."""
        return self.raw.guard


def parse_response(raw: RawResponse) -> ParsedResponse:
    """Parse a body. The message begins with the provider's own text."""
    raw_text = raw.scrubbed(raw.body.decode("utf-8", "replace"), RAW_CAP)
    value = read_json(raw.body)
    if isinstance(value, NotJson):
        problem = raw.scrubbed(f"HTTP {raw.status} with {value.reason}", MESSAGE_CAP)
        return ParsedResponse(raw, None, None, Answer(problem, http_status=raw.status, raw=raw_text), problem)
    error = read_error(value)
    message, code_text, code = ("", "", "") if error is None else (error.message, error.code_text, _code(error))
    answer = Answer(
        raw.scrubbed(message, MESSAGE_CAP) or raw.scrubbed(code_text, CODE_CAP) or f"HTTP {raw.status}",
        http_status=raw.status,
        code=raw.scrubbed(code, CODE_CAP) or None,
        request_id=raw.scrubbed(text(child(value, "request_id")), 128) or None,
        raw=raw_text,
    )
    return ParsedResponse(raw, value, error, answer)


def classify_rejection(parsed: ParsedResponse, *, documented: frozenset[int]) -> SubmitOutcome:
    """Classify the response to a submit that is not an acceptance: Rejected only if it is documented that no task was
    made, else Unknown."""
    status = parsed.raw.status
    if has_task_id(parsed.value):
        return Unknown("the response is an error, but it contains a task id", parsed.answer)
    rule = rule_for(status, parsed.error, documented=documented)
    if rule is None or rule.reject is None:
        cause = parsed.problem or f"HTTP {status}: the response does not state that no task was made"
        return Unknown(cause, parsed.answer)
    return Rejected(rule.reject, with_hint(parsed.answer, rule.advice), parsed.raw.retry_after_s)


def classify_query_failure(parsed: ParsedResponse) -> QueryOutcome:
    """Classify the response to a look-up that contains no task."""
    if is_task_not_found(parsed.raw.status, parsed.error) and not has_task_id(parsed.value):
        return NotFound(parsed.answer)
    return query_failed(parsed)


def query_failed(parsed: ParsedResponse) -> QueryFailed:
    """Return why a query failed, and what to do about it."""
    fault, advice = fault_of(parsed.raw.status, parsed.error)
    return QueryFailed(fault, with_hint(parsed.answer, advice), parsed.raw.retry_after_s)


def malformed(answer: Answer, message: str) -> QueryFailed:
    """Return the failure of a query whose successful response can't be parsed."""
    return QueryFailed(QueryFault.MALFORMED, replace(answer, message=message))


def with_hint(answer: Answer, hint: str) -> Answer:
    """Append a hint to the provider's message."""
    return replace(answer, message=f"{answer.message}; {hint}") if hint else answer


def read_state(
    status_word: str, states: Mapping[str, TaskState], *, has_output: bool, warnings: list[str]
) -> TaskState:
    """Return the state for a provider's status word. An unknown word, and a success without a URL, are read as
    PROCESSING with a warning, because another query is free, while a wrong final state can't be undone."""
    state = states.get(status_word.lower())
    if state is None:
        warnings.append(f"the status word {status_word!r} is not documented; treated as still running")
    elif state is TaskState.SUCCEEDED and not has_output:
        warnings.append("the task has succeeded without a video URL; treated as still running")
    else:
        return state
    return TaskState.PROCESSING


def row_text(row: object, raw: RawResponse) -> str:
    """Return one row of a list as JSON, for evidence; empty if it is nested too deeply."""
    try:
        return raw.scrubbed(json.dumps(row, ensure_ascii=False, default=str), RAW_CAP)
    except RecursionError:
        return ""


def evidence(result: Reply | NoResponse, secrets: tuple[str, ...]) -> Answer:
    """Return the part of an incomplete or oversized response that came, as evidence."""
    if isinstance(result, Reply):
        message = f"the response is larger than {len(result.body)} bytes and was not read to its end"
    else:
        message = result.reason
    raw = scrub(result.body.decode("utf-8", "replace"), secrets=secrets)
    return Answer(scrub(message, secrets=secrets, cap=MESSAGE_CAP), http_status=result.status, raw=raw)


def _code(error: UpstreamError) -> str:
    return str(error.number) if error.number is not None else error.code_text.partition(" ")[0]
