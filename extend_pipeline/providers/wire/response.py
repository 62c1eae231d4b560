"""Raw and parsed HTTP responses, shared by the providers' parsers."""

from __future__ import annotations

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
    Unknown,
)
from extend_pipeline.providers.wire.errors import (
    GATEWAY_STATUSES,
    UpstreamError,
    fault_of,
    names_a_task,
    read_error,
    rule_for,
    says_no_such_task,
)
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import NotJson, child, read_json, text

MESSAGE_CAP: Final = 500


@dataclass(frozen=True, slots=True)
class RawResponse:
    """A whole answer of HTTP: what a parser needs of it. `secrets` must not be written down."""

    status: int
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """An answer after reading. `value` is None and `problem` says why where the body is no JSON."""

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
        """2xx with JSON in which nothing speaks of an error."""
        return self.readable and self.error is None

    @property
    def guard(self) -> Guard:
        """What lets ids, URLs and words of this answer through."""
        return Guard(self.raw.secrets)


def parse_response(raw: RawResponse) -> ParsedResponse:
    """Read a body once, for whichever parser. The provider's words come first in the answer's message."""

    def clean(value: str, cap: int) -> str:
        return scrub(value, secrets=raw.secrets, cap=cap)

    raw_text = clean(raw.body.decode("utf-8", "replace"), RAW_CAP)
    value = read_json(raw.body)
    if isinstance(value, NotJson):
        problem = clean(f"HTTP {raw.status} with {value.reason}", MESSAGE_CAP)
        return ParsedResponse(raw, None, None, Answer(problem, http_status=raw.status, raw=raw_text), problem)
    error = read_error(value)
    said = "" if error is None else error.message
    answer = Answer(
        clean(said, MESSAGE_CAP) or (clean(error.words, 64) if error else "") or f"HTTP {raw.status}",
        http_status=raw.status,
        code=(clean(_code(error), 64) or None) if error else None,
        request_id=clean(text(child(value, "request_id")), 128) or None,
        raw=raw_text,
    )
    return ParsedResponse(raw, value, error, answer)


def classify_rejection(reading: ParsedResponse, *, documented: frozenset[int] = GATEWAY_STATUSES) -> SubmitOutcome:
    """What an answer that is no acceptance means for the submit: Rejected only where it is documented that nothing was
    made, else Unknown."""
    status = reading.raw.status
    if names_a_task(reading.value):
        return Unknown("the answer is no success, and yet it names a task", reading.answer)
    rule = rule_for(status, reading.error, documented=documented)
    if rule is None or rule.reject is None:
        cause = reading.problem or f"HTTP {status}: nothing in the answer says that no task was made"
        return Unknown(cause, reading.answer)
    return Rejected(rule.reject, with_hint(reading.answer, rule.advice), reading.raw.retry_after_s)


def classify_query_failure(reading: ParsedResponse) -> QueryOutcome:
    """What an answer that shows no task means for a look-up."""
    if says_no_such_task(reading.raw.status, reading.error) and not names_a_task(reading.value):
        return NotFound(reading.answer)
    return query_failed(reading)


def query_failed(reading: ParsedResponse) -> QueryFailed:
    """The question told nothing, and why."""
    fault, advice = fault_of(reading.raw.status, reading.error)
    return QueryFailed(fault, with_hint(reading.answer, advice), reading.raw.retry_after_s)


def malformed(reading: ParsedResponse, message: str) -> QueryFailed:
    """An answer that says success and can't be understood."""
    return QueryFailed(QueryFault.MALFORMED, replace(reading.answer, message=message))


def with_hint(answer: Answer, advice: str) -> Answer:
    """The provider's words, and then what to do about them."""
    return replace(answer, message=f"{answer.message}; {advice}") if advice else answer


def evidence(result: Reply | NoResponse, secrets: tuple[str, ...]) -> Answer:
    """What did come back of an answer that can't be read."""
    if isinstance(result, Reply):
        message = f"the answer is larger than {len(result.body)} bytes and was not read to its end"
    else:
        message = result.reason
    raw = scrub(result.body.decode("utf-8", "replace"), secrets=secrets)
    return Answer(scrub(message, secrets=secrets, cap=500), http_status=result.status, raw=raw)


def _code(error: UpstreamError) -> str:
    return str(error.number) if error.number is not None else error.words.partition(" ")[0]
