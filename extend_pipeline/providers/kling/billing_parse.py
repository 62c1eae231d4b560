"""Parse the responses of Kling's billing routes (docs/upstream/kling.md, "Bills") into rows. Pure, and never
raises."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from extend_pipeline.providers.protocol import QueryFailed
from extend_pipeline.providers.wire.codes import SUCCESS
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, integer, timestamp_ms, units_to_micros
from extend_pipeline.providers.wire.response import (
    RawResponse,
    malformed,
    parse_response,
    query_failed,
)

_CURSOR_CAP: Final = 4096


@dataclass(frozen=True, slots=True)
class BilledTask:
    """One deduction for a task, in millionths of a unit, negative for a refund; `at_ms` is UTC ms.

    A task has several rows, to be added up, if its units were taken from several packs.
    """

    task_id: str
    units_micros: int
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class BillingPage:
    """One page of the bill. `next_cursor` is None on the last page. `malformed` counts rows that could not be parsed,
    each of which may belong to a task that seems to be missing in the bill."""

    rows: tuple[BilledTask, ...]
    next_cursor: str | None
    malformed: int


def parse_billing_page(raw: RawResponse) -> BillingPage | QueryFailed:
    """Parse a page of `POST /account/billing/package`.

    A page without rows counts as empty only if it has an empty list or a count of 0, because an empty bill means that
    nothing was charged, which a response without a list does not prove.
    """
    parsed = parse_response(raw)
    if not parsed.ok:
        return query_failed(parsed)
    if integer(child(parsed.value, "code")) not in SUCCESS:
        return malformed(parsed.answer, f"HTTP {raw.status} with JSON that is no envelope of Kling's")
    data = child(parsed.value, "data")
    result = child(data, "result")
    detail = child(result, "detail")
    if detail is None and integer(child(result, "count")) == 0:
        detail = []
    if not isinstance(detail, list):
        return malformed(parsed.answer, "the response reports success without a list of deductions")
    more, next_cursor = child(data, "has_more"), child(data, "next_cursor")
    cursor = next_cursor if isinstance(next_cursor, str) and 0 < len(next_cursor) <= _CURSOR_CAP else None
    if more is True and cursor is None:
        return malformed(parsed.answer, "the bill has more pages, and the response has no usable cursor")
    if not isinstance(more, bool) and not (more is None and next_cursor in (None, "")):
        return malformed(parsed.answer, "the response does not state whether the bill has more pages")
    rows = [_billed(row, parsed.guard) for row in detail]
    known = tuple(row for row in rows if row is not None)
    return BillingPage(known, cursor if more is True else None, len(rows) - len(known))


def _billed(row: object, guard: Guard) -> BilledTask | None:
    task_id, units = guard.id(child(row, "task_id")), _signed_micros(child(row, "deduction_amount"))
    if task_id is None or units is None:
        return None
    return BilledTask(task_id, units, timestamp_ms(child(row, "deduction_time")))


def _signed_micros(value: object) -> int | None:
    """Return units in millionths from a number or a text; negative for a refund."""
    if isinstance(value, str) and value.strip().startswith("-"):
        refund = units_to_micros(value.strip()[1:])
    elif isinstance(value, int) and not isinstance(value, bool) and value < 0:
        refund = units_to_micros(-value)
    elif isinstance(value, Decimal) and value.is_signed():
        refund = units_to_micros(value.copy_negate())
    else:
        return units_to_micros(value)
    return None if refund is None else -refund
