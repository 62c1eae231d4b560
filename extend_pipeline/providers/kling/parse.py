"""From (HTTP status, body) to an outcome, for Kling's answers (docs/upstream/kling.md). Pure, and never raises."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.scrub import RAW_CAP, scrub
from extend_pipeline.providers.kling.task import read_task
from extend_pipeline.providers.protocol import (
    Accepted,
    Answer,
    Duplicate,
    Found,
    NotFound,
    Page,
    PageOutcome,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    Rejected,
    SubmitOutcome,
    Unknown,
)
from extend_pipeline.providers.wire.codes import BAD_VALUE, NOT_FOUND, RULES, SUCCESS, concerns_our_key
from extend_pipeline.providers.wire.errors import UNDECIDED_4XX, fault_of_status
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import NotJson, child, error_message, integer, read_json, text

MESSAGE_CAP: Final = 500


@dataclass(frozen=True, slots=True)
class _Read:
    """A body after reading. `code` is None where there is no integer code; `problem` says why there is no envelope."""

    status: int
    code: int | None
    data: object
    answer: Answer
    problem: str
    envelope: bool = False  # code and message both are where they are documented

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300 and self.code in SUCCESS

    @property
    def undecided(self) -> bool:
        """Whether the HTTP status alone forbids to believe that nothing was made."""
        return not (200 <= self.status < 300 or 400 <= self.status < 500) or self.status in UNDECIDED_4XX


def parse_submit(
    status: int,
    body: bytes,
    *,
    external_task_id: str | None,
    secrets: tuple[str, ...] = (),
    retry_after_s: float | None = None,
) -> SubmitOutcome:
    """What the answer to a submit means. `retry_after_s` is passed on with a rejection. `external_task_id` is None
    where none was sent, as through most gateways: then nothing can be a duplicate of it."""
    read = _read(status, body, secrets)
    if read.success:
        return _accepted(read, external_task_id, Guard(secrets))
    rule = RULES.get(read.code) if read.code is not None else None
    if read.undecided or rule is None or rule.reject is None:
        return _unknown(read, read.problem or f"HTTP {status}, code {read.code}: nothing says that no task was made")
    if _names_a_task(read.data):
        return _unknown(read, f"code {read.code} says failure, and yet the answer names a task")
    own = external_task_id
    if own is not None and read.code == BAD_VALUE and concerns_our_key(read.answer.message, own):
        return Duplicate(read.answer)
    return Rejected(rule.reject, _advised(read.answer, rule.advice), retry_after_s)


def parse_query(
    status: int,
    body: bytes,
    *,
    asked: str,
    own_key: bool = False,
    secrets: tuple[str, ...] = (),
    retry_after_s: float | None = None,
) -> QueryOutcome:
    """What the answer to a look-up of `asked` means: the task's id, or with `own_key` our `external_task_id`.

    Only Kling's own 1203 says that there is no such task; a bare 404 may be anybody's.
    """
    read = _read(status, body, secrets)
    if not read.success:
        if read.code == NOT_FOUND and read.envelope and not read.undecided and not _names_a_task(read.data):
            return NotFound(read.answer)
        return _unanswered(read, retry_after_s)
    view = read_task(read.data, guard=Guard(secrets), raw=read.answer.raw)
    if view is None:
        return _malformed(read, "the answer says success and shows no task")
    if asked in (view.task_id, view.external_task_id):
        return Found(view)
    if own_key and view.external_task_id is None:
        return Found(replace(view, warnings=(*view.warnings, "the answer does not repeat our own id")))
    return _malformed(read, f"asked for the task {asked}, and the answer is about {view.task_id}")


def parse_page(
    status: int, body: bytes, *, secrets: tuple[str, ...] = (), retry_after_s: float | None = None
) -> PageOutcome:
    """One page of the list. Past the end `data` is `[]`; a page without a list is malformed and never an empty one."""
    read = _read(status, body, secrets)
    if not read.success:
        return _unanswered(read, retry_after_s)
    if not isinstance(read.data, list):
        return _malformed(read, "the answer says success and holds no list")
    guard = Guard(secrets)
    rows = [read_task(row, guard=guard, raw=_row_text(row, secrets)) for row in read.data]
    views = tuple(view for view in rows if view is not None)
    return Page(views, malformed=len(rows) - len(views), rows=len(rows))


def _accepted(read: _Read, external_task_id: str | None, guard: Guard) -> Accepted | Unknown:
    view = read_task(read.data, guard=guard, raw="")
    if view is None:
        return _unknown(read, "the answer says success and names no task")
    if external_task_id is not None and view.external_task_id not in (None, external_task_id):
        # an answer to somebody else's request: the look-up by our own id tells what became of ours
        return _unknown(read, f"the answer is about {view.external_task_id}, which is not what was sent")
    return Accepted(view.task_id, view.state, read.answer)


def _read(status: int, body: bytes, secrets: tuple[str, ...]) -> _Read:
    def clean(value: str, cap: int) -> str:
        return scrub(value, secrets=secrets, cap=cap)

    raw = clean(body.decode("utf-8", "replace"), RAW_CAP)
    value = read_json(body)
    if isinstance(value, NotJson):
        problem = clean(f"HTTP {status} with {value.reason}", MESSAGE_CAP)
        return _Read(status, None, None, Answer(problem, http_status=status, raw=raw), problem)
    code = child(value, "code")
    answer = Answer(
        clean(error_message(value), MESSAGE_CAP) or f"HTTP {status}",
        http_status=status,
        code=clean(text(code), 64) or None,
        request_id=clean(text(child(value, "request_id")), 128) or None,
        raw=raw,
    )
    number = integer(code)
    problem = "" if number is not None else f"HTTP {status} with JSON that is no envelope of Kling's"
    envelope = number is not None and isinstance(child(value, "message"), str)
    return _Read(status, number, child(value, "data"), answer, problem, envelope)


def _row_text(row: object, secrets: tuple[str, ...]) -> str:
    try:
        return scrub(json.dumps(row, ensure_ascii=False, default=str), secrets=secrets)
    except RecursionError:
        return ""


def _names_a_task(data: object) -> bool:
    # anything but an absent id counts here: a failure with an unreadable id beside it is still no proof of nothing
    found = child(data, "task_id")
    if isinstance(data, list):
        return any(_names_a_task(row) for row in data if isinstance(row, dict))
    return found is not None and found != ""


def _unknown(read: _Read, cause: str) -> Unknown:
    return Unknown(cause, read.answer)


def _malformed(read: _Read, message: str) -> QueryFailed:
    return QueryFailed(QueryFault.MALFORMED, _with_message(read.answer, message))


def _unanswered(read: _Read, retry_after_s: float | None) -> QueryFailed:
    rule = RULES.get(read.code) if read.code is not None else None
    if rule is not None:
        return QueryFailed(rule.fault, _advised(read.answer, rule.advice), retry_after_s)
    return QueryFailed(fault_of_status(read.status), read.answer, retry_after_s)


def _advised(answer: Answer, advice: str) -> Answer:
    return _with_message(answer, f"{answer.message}; {advice}") if advice else answer


def _with_message(answer: Answer, message: str) -> Answer:
    return replace(answer, message=message)
