"""Raw and parsed HTTP responses, and what the parsers of all providers share. Pure, and never raises."""

from __future__ import annotations

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
    names_a_task,
    read_error,
    rule_for,
    says_no_such_task,
)
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import NotJson, child, read_json, text

MESSAGE_CAP: Final = 500  # characters of an error's message
CODE_CAP: Final = 64


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A whole HTTP response: what a parser needs of it. `secrets` must not be written down; `retry_after_s` is how long
    the upstream asks to be left alone."""

    status: int
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    retry_after_s: float | None = None

    @property
    def guard(self) -> Guard:
        """Return what lets ids, URLs and words of this response through."""
        return Guard(self.secrets)

    def scrubbed(self, value: str, cap: int) -> str:
        """Return a text without secrets, of at most `cap` characters."""
        return scrub(value, secrets=self.secrets, cap=cap)


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A response after reading. `value` is None and `problem` says why where the body is no JSON; `error` and `answer`
    are read as resellers and gateways write errors."""

    raw: RawResponse
    value: object
    error: UpstreamError | None
    answer: Answer
    problem: str = ""

    @property
    def readable(self) -> bool:
        """2xx with JSON: a task may be shown in it, even beside an error."""
        return 200 <= self.raw.status < 300 and not self.problem

    @property
    def ok(self) -> bool:
        """2xx with JSON that has no error in it."""
        return self.readable and self.error is None

    @property
    def guard(self) -> Guard:
        """Return what lets ids, URLs and words of this response through."""
        return self.raw.guard


def parse_response(raw: RawResponse) -> ParsedResponse:
    """Parse a body, once for all parsers. The provider's words come first in the answer's message."""
    raw_text = raw.scrubbed(raw.body.decode("utf-8", "replace"), RAW_CAP)
    value = read_json(raw.body)
    if isinstance(value, NotJson):
        problem = raw.scrubbed(f"HTTP {raw.status} with {value.reason}", MESSAGE_CAP)
        return ParsedResponse(raw, None, None, Answer(problem, http_status=raw.status, raw=raw_text), problem)
    error = read_error(value)
    message, words, code = ("", "", "") if error is None else (error.message, error.words, _code(error))
    answer = Answer(
        raw.scrubbed(message, MESSAGE_CAP) or raw.scrubbed(words, CODE_CAP) or f"HTTP {raw.status}",
        http_status=raw.status,
        code=raw.scrubbed(code, CODE_CAP) or None,
        request_id=raw.scrubbed(text(child(value, "request_id")), 128) or None,
        raw=raw_text,
    )
    return ParsedResponse(raw, value, error, answer)


def classify_rejection(parsed: ParsedResponse, *, documented: frozenset[int]) -> SubmitOutcome:
    """Return what a response that is no acceptance means for the submit: Rejected only where it is documented that
    nothing was made, else Unknown."""
    status = parsed.raw.status
    if names_a_task(parsed.value):
        return Unknown("the answer is no success, and yet it names a task", parsed.answer)
    rule = rule_for(status, parsed.error, documented=documented)
    if rule is None or rule.reject is None:
        cause = parsed.problem or f"HTTP {status}: nothing in the answer says that no task was made"
        return Unknown(cause, parsed.answer)
    return Rejected(rule.reject, with_hint(parsed.answer, rule.advice), parsed.raw.retry_after_s)


def classify_query_failure(parsed: ParsedResponse) -> QueryOutcome:
    """Return what a response that shows no task means for a look-up."""
    if says_no_such_task(parsed.raw.status, parsed.error) and not names_a_task(parsed.value):
        return NotFound(parsed.answer)
    return query_failed(parsed)


def query_failed(parsed: ParsedResponse) -> QueryFailed:
    """Return why a query told nothing, and what to do about it."""
    fault, advice = fault_of(parsed.raw.status, parsed.error)
    return QueryFailed(fault, with_hint(parsed.answer, advice), parsed.raw.retry_after_s)


def malformed(answer: Answer, message: str) -> QueryFailed:
    """Return the failure of a response that says success and can't be understood."""
    return QueryFailed(QueryFault.MALFORMED, replace(answer, message=message))


def with_hint(answer: Answer, hint: str) -> Answer:
    """Append to the provider's words what to do about them."""
    return replace(answer, message=f"{answer.message}; {hint}") if hint else answer


def read_state(word: str, states: Mapping[str, TaskState], *, has_output: bool, warnings: list[str]) -> TaskState:
    """Return the state that a provider's word means. An unknown word, and a success without a URL, read as PROCESSING
    with a warning: another query is free, while a wrong end can't be taken back."""
    state = states.get(word.lower())
    if state is None:
        warnings.append(f"the status word {word!r} is not documented; taken as still running")
    elif state is TaskState.SUCCEEDED and not has_output:
        warnings.append("the task says it succeeded and shows no video URL; taken as still running")
    else:
        return state
    return TaskState.PROCESSING


def row_text(row: object, raw: RawResponse) -> str:
    """Return one row of a list as JSON, to be kept as evidence; empty where it is nested too deeply."""
    try:
        return raw.scrubbed(json.dumps(row, ensure_ascii=False, default=str), RAW_CAP)
    except RecursionError:
        return ""


def evidence(result: Reply | NoResponse, secrets: tuple[str, ...]) -> Answer:
    """Return what did come back of a response that can't be read."""
    if isinstance(result, Reply):
        message = f"the answer is larger than {len(result.body)} bytes and was not read to its end"
    else:
        message = result.reason
    raw = scrub(result.body.decode("utf-8", "replace"), secrets=secrets)
    return Answer(scrub(message, secrets=secrets, cap=MESSAGE_CAP), http_status=result.status, raw=raw)


def _code(error: UpstreamError) -> str:
    return str(error.number) if error.number is not None else error.words.partition(" ")[0]
