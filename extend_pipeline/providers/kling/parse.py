"""Parse Kling's responses (docs/upstream/kling.md) into outcomes. Pure, and never raises.

Gateways forward Kling's bodies, so that `parse_submit` and `parse_query` also parse a gateway's responses.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.providers.kling.task import read_running, read_task
from extend_pipeline.providers.protocol import (
    Accepted,
    Answer,
    Duplicate,
    Found,
    NotFound,
    Page,
    PageOutcome,
    QueryFailed,
    QueryOutcome,
    Rejected,
    SubmitOutcome,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.codes import BAD_VALUE, NOT_FOUND, RULES, SUCCESS, may_be_duplicate_key
from extend_pipeline.providers.wire.errors import UNDECIDED_4XX, fault_of_status
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, error_message, integer, read_json, text
from extend_pipeline.providers.wire.response import (
    CODE_CAP,
    MESSAGE_CAP,
    RawResponse,
    malformed,
    parse_response,
    row_text,
    with_hint,
)

# 500 rows with three signed URLs each come to 1-2 MB; the cap of other bodies would refuse every full page.
PAGE_CAP: Final = 8_000_000


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A response parsed as Kling's `{code, message, request_id, data}`. `code` is None without an integer code, and
    `problem` is the reason. `complete` means that both code and message have their documented form."""

    raw: RawResponse
    code: int | None
    data: object
    answer: Answer
    problem: str = ""
    complete: bool = False

    @property
    def success(self) -> bool:
        return 200 <= self.raw.status < 300 and self.code in SUCCESS

    @property
    def undecided(self) -> bool:
        """Return whether a task may have been made because of the HTTP status alone."""
        status = self.raw.status
        return not (200 <= status < 300 or 400 <= status < 500) or status in UNDECIDED_4XX

    @property
    def guard(self) -> Guard:
        return self.raw.guard


def parse_submit(raw: RawResponse, *, external_task_id: str | None) -> SubmitOutcome:
    """Parse the response to a submit. `external_task_id` is None if none was sent, as through most gateways; then
    the outcome is never Duplicate."""
    envelope = _envelope(raw)
    if envelope.success:
        return _accepted(envelope, external_task_id)
    rule = RULES.get(envelope.code) if envelope.code is not None else None
    if envelope.undecided or rule is None or rule.reject is None:
        cause = f"HTTP {envelope.raw.status}, code {envelope.code}: the response does not state that no task was made"
        return Unknown(envelope.problem or cause, envelope.answer)
    if _has_task_id(envelope.data):
        return Unknown(f"code {envelope.code} is a failure, but the response contains a task id", envelope.answer)
    own_id = external_task_id
    if own_id is not None and envelope.code == BAD_VALUE and may_be_duplicate_key(envelope.answer.message, own_id):
        return Duplicate(envelope.answer)
    return Rejected(rule.reject, with_hint(envelope.answer, rule.advice), envelope.raw.retry_after_s)


def parse_query(raw: RawResponse, *, requested: str, own_key: bool = False) -> QueryOutcome:
    """Parse the response to a look-up of `requested`: a task id, or with `own_key` our `external_task_id`.

    Only Kling's own 1203 means that there is no such task, because a bare 404 may come from any server on the way.
    """
    envelope = _envelope(raw)
    if not envelope.success:
        absent = envelope.code == NOT_FOUND and envelope.complete and not envelope.undecided
        if absent and not _has_task_id(envelope.data):
            return NotFound(envelope.answer)
        return _query_failed(envelope)
    view = read_task(envelope.data, guard=envelope.guard, raw=envelope.answer.raw)
    if view is None:
        return malformed(envelope.answer, "the response reports success without a task")
    if requested in (view.task_id, view.external_task_id):
        return Found(view)
    if own_key and view.external_task_id is None:
        return Found(replace(view, warnings=(*view.warnings, "the response does not repeat our own id")))
    return malformed(envelope.answer, f"asked for the task {requested}, and the response is about {view.task_id}")


def parse_page(raw: RawResponse, *, only: Collection[str] | None = None) -> PageOutcome:
    """Parse a page of the list, or those of its rows whose tasks are in `only`, reading of one that runs what a poll
    needs. Past the end `data` is `[]`; a page without a list is malformed, never empty."""
    rows = _rows(raw)
    if rows is None:
        envelope = _envelope(raw)
        if not envelope.success:
            return _query_failed(envelope)
        return malformed(envelope.answer, "the response reports success without a list")
    wanted = rows if only is None else [row for row in rows if _may_be_one_of(only, row)]
    views = [view for row in wanted if (view := _read_row(row, raw, only)) is not None]
    return Page(tuple(views), malformed=len(wanted) - len(views), rows=len(rows))


def _rows(raw: RawResponse) -> list[object] | None:
    """Return the rows of a page; None for any other response. A page needs no evidence, which takes as long to scrub as
    two hundred rows to read."""
    value = read_json(raw.body)
    data = child(value, "data")
    has_succeeded = 200 <= raw.status < 300 and integer(child(value, "code")) in SUCCESS
    return data if has_succeeded and isinstance(data, list) else None


def _may_be_one_of(task_ids: Collection[str], row: object) -> bool:
    """Return whether a row is of one of the tasks, or its task's id is no text."""
    task_id = child(row, "task_id")
    return not isinstance(task_id, str) or task_id in task_ids


def _read_row(row: object, raw: RawResponse, only: Collection[str] | None) -> TaskView | None:
    """Return the task of a row. Only a failed one carries its row, as evidence."""
    # most rows of a poll are running tasks, and all of such a row takes three times as long to read
    if only is not None and (running := read_running(row, only)) is not None:
        return running
    view = read_task(row, guard=raw.guard, raw="")
    return view and (replace(view, raw=row_text(row, raw)) if view.state is TaskState.FAILED else view)


def _envelope(raw: RawResponse) -> _Envelope:
    parsed = parse_response(raw)
    value = parsed.value
    if parsed.problem:
        return _Envelope(raw, None, None, parsed.answer, parsed.problem)
    code = child(value, "code")
    answer = replace(
        parsed.answer,
        message=raw.scrubbed(error_message(value), MESSAGE_CAP) or f"HTTP {raw.status}",
        code=raw.scrubbed(text(code), CODE_CAP) or None,
    )
    number = integer(code)
    problem = "" if number is not None else f"HTTP {raw.status} with JSON that is no envelope of Kling's"
    complete = number is not None and isinstance(child(value, "message"), str)
    return _Envelope(raw, number, child(value, "data"), answer, problem, complete)


def _accepted(envelope: _Envelope, external_task_id: str | None) -> Accepted | Unknown:
    view = read_task(envelope.data, guard=envelope.guard, raw="")
    if view is None:
        return Unknown("the response reports success without a task id", envelope.answer)
    if external_task_id is not None and view.external_task_id not in (None, external_task_id):
        # the response belongs to another request, so the look-up by our own id has to find ours
        cause = f"the response is about {view.external_task_id}, which is not what was sent"
        return Unknown(cause, envelope.answer)
    return Accepted(view.task_id, view.state, envelope.answer)


def _has_task_id(data: object) -> bool:
    # an id that can't be parsed counts, because then a task may exist
    if isinstance(data, list):
        return any(_has_task_id(row) for row in data if isinstance(row, dict))
    return child(data, "task_id") not in (None, "")


def _query_failed(envelope: _Envelope) -> QueryFailed:
    rule = RULES.get(envelope.code) if envelope.code is not None else None
    wait_s = envelope.raw.retry_after_s
    if rule is not None:
        return QueryFailed(rule.fault, with_hint(envelope.answer, rule.advice), wait_s)
    return QueryFailed(fault_of_status(envelope.raw.status), envelope.answer, wait_s)
