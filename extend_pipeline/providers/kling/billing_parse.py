"""Parse the responses of Kling's billing routes (docs/upstream/kling.md, "Bills") into rows and packs. Pure, and never
raises."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from extend_pipeline.providers.protocol import QueryFailed, QueryFault
from extend_pipeline.providers.wire.codes import RULES, SUCCESS
from extend_pipeline.providers.wire.guard import Guard
from extend_pipeline.providers.wire.json import child, integer, timestamp_ms, units_to_micros
from extend_pipeline.providers.wire.response import (
    CODE_CAP,
    MESSAGE_CAP,
    ParsedResponse,
    RawResponse,
    malformed,
    parse_response,
    query_failed,
    with_hint,
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


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack of units: bought and remaining units in millionths, its expiry (UTC ms) or None, and Kling's status word
    (online, toBeOnline, expired, runOut)."""

    name: str
    total_micros: int
    left_micros: int
    expires_ms: int | None
    status: str


@dataclass(frozen=True, slots=True)
class Packs:
    """An account's packs; empty for one that pays per task. `malformed` counts those that could not be parsed."""

    packs: tuple[Pack, ...]
    malformed: int


def parse_billing_page(raw: RawResponse) -> BillingPage | QueryFailed:
    """Parse a page of `POST /account/billing/package`.

    A page without rows counts as empty only if it has an empty list or a count of 0, because an empty bill means that
    nothing was charged, which a response without a list does not prove.
    """
    parsed = parse_response(raw)
    if not _success(parsed):
        return _query_failure(parsed)
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


def parse_packs(raw: RawResponse) -> Packs | QueryFailed:
    """Parse the packs of `GET /account/costs`. The envelope contains another one, and the list is missing if there are
    no packs."""
    parsed = parse_response(raw)
    if not _success(parsed):
        return _query_failure(parsed)
    data = child(parsed.value, "data")
    if not isinstance(data, dict):
        return malformed(parsed.answer, "the response reports success without data")
    inner = child(data, "code")
    if inner is not None and integer(inner) not in SUCCESS:
        return _inner_refusal(parsed, inner, child(data, "msg"))
    listed = child(data, "resource_pack_subscribe_infos")
    if listed is None:
        listed = []
    if not isinstance(listed, list):
        return malformed(parsed.answer, "the response reports success, and its packs are no list")
    packs = [_pack(row, parsed.guard) for row in listed]
    known = tuple(pack for pack in packs if pack is not None)
    return Packs(known, len(packs) - len(known))


def _success(parsed: ParsedResponse) -> bool:
    return parsed.ok and integer(child(parsed.value, "code")) in SUCCESS


def _query_failure(parsed: ParsedResponse) -> QueryFailed:
    if parsed.ok:
        return malformed(parsed.answer, f"HTTP {parsed.raw.status} with JSON that is no envelope of Kling's")
    return query_failed(parsed)


def _inner_refusal(parsed: ParsedResponse, inner: object, message: object) -> QueryFailed:
    number = integer(inner)
    rule = RULES.get(number) if number is not None else None
    words = parsed.guard.text(message, cap=MESSAGE_CAP) or "the account's costs are not in the response"
    answer = replace(parsed.answer, message=words, code=parsed.guard.text(inner, cap=CODE_CAP) or None)
    if rule is None:
        return QueryFailed(QueryFault.MALFORMED, answer, parsed.raw.retry_after_s)
    return QueryFailed(rule.fault, with_hint(answer, rule.advice), parsed.raw.retry_after_s)


def _billed(row: object, guard: Guard) -> BilledTask | None:
    task_id, units = guard.id(child(row, "task_id")), _signed_micros(child(row, "deduction_amount"))
    if task_id is None or units is None:
        return None
    return BilledTask(task_id, units, timestamp_ms(child(row, "deduction_time")))


def _pack(row: object, guard: Guard) -> Pack | None:
    total, left = (units_to_micros(child(row, name)) for name in ("total_quantity", "remaining_quantity"))
    if total is None or left is None:
        return None
    return Pack(
        name=guard.text(child(row, "resource_pack_name"), cap=200),
        total_micros=total,
        left_micros=left,
        expires_ms=timestamp_ms(child(row, "invalid_time")),
        status=guard.text(child(row, "status"), cap=64),
    )


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
