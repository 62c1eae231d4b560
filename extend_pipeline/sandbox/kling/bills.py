"""What is asked of Kling's billing routes, and the rows that they answer with."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal

from extend_pipeline.sandbox.store.records import Bill, Video, seconds_text
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json
from extend_pipeline.sandbox.surface.fields import read_object

_MAX_ROWS = 500
_LIST_PRICE = Decimal("0.14")  # USD a unit
_PACK_LIFE_MS = 365 * 86_400_000


@dataclass(frozen=True)
class Asked:
    """What is asked for: charges of tasks made from `since_ms` on, up to and without `until_ms`. Of a bill at most
    `limit` rows, those after a row of the charge book."""

    since_ms: int
    until_ms: int
    limit: int = _MAX_ROWS
    after_row: int = 0


def read_period(given: Mapping[str, object]) -> Asked | Refusal:
    """`start_time` and `end_time`, both required, in ms."""
    times = []
    for name in ("start_time", "end_time"):
        value = given.get(name)
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**15:
            return Refusal(1201, f"{name} is required, in milliseconds")
        times.append(value)
    since_ms, until_ms = times
    return Asked(since_ms, until_ms) if since_ms < until_ms else Refusal(1201, "start_time must be before end_time")


def read_request(body: bytes, most_rows: int) -> Asked | Refusal:
    """Return the body of a request for a page. With a `cursor` nothing else counts; `filters` are not written down
    here."""
    given = read_object(body)
    if isinstance(given, str):
        return Refusal(1200, given)
    if given.get("cursor"):
        return _read_cursor(given["cursor"])
    period = read_period(given)
    if isinstance(period, Refusal):
        return period
    limit = given.get("limit", _MAX_ROWS)
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MAX_ROWS:
        return Refusal(1201, f"limit must be a whole number in [1, {_MAX_ROWS}]")
    return replace(period, limit=min(limit, most_rows))


def cursor(asked: Asked, row: int) -> str:
    """Return how to ask for what comes after a row."""
    cursor = json.dumps(asdict(replace(asked, after_row=row)))
    return base64.urlsafe_b64encode(cursor.encode()).decode()


def _read_cursor(given: object) -> Asked | Refusal:
    try:
        cursor = json.loads(base64.urlsafe_b64decode(str(given)))
    except (binascii.Error, ValueError):
        cursor = None
    names = Asked.__dataclass_fields__.keys()
    if not isinstance(cursor, dict) or cursor.keys() != names or not all(type(cursor[name]) is int for name in names):
        return Refusal(1201, "cursor is invalid")
    return Asked(**cursor)


def page(lines: Sequence[Json], next_cursor: str) -> Json:
    """Return one page of a bill; without a cursor it is the last."""
    result = {"detail": list(lines), "count": len(lines)}
    return {"result": result, "next_cursor": next_cursor, "has_more": next_cursor != ""}


def line(bill: Bill, account: str, video: Video | None, balance: Decimal | None, *, postpaid: bool = False) -> Json:
    """Return one row of the bill: amounts as numbers, times in ms as text, the film's length as text of seconds.

    `video` is the task's result, or its parent where it has none. What was left shows where there was a limit.
    """
    left: Json = {}
    if balance is not None:
        after_milli = int(balance * 1000) - bill.spent_milli
        left = {
            "unit_before_deduction": (after_milli + bill.units_milli) / 1000,
            "unit_after_deduction": after_milli / 1000,
        }
    film: Json = {}
    if video is not None:
        film = {
            "model_name": video.model,
            "resolution": "1080p" if video.mode == "pro" else "720p",
            "duration": seconds_text(video.duration_ms),
        }
    paid_by: Json = {"package_id": f"pack-{account}", "product_type": "video"}
    amount = bill.units_milli / 1000
    if postpaid:
        paid_by, left = {"cash_type": "balance", "currency": "USD"}, {}
        amount = float(Decimal(bill.units_milli) / 1000 * _LIST_PRICE)
    return {
        **paid_by,
        "task_id": bill.task_id,
        "api_key_name": account,
        "product_function": "Video Extension",
        **film,
        "deduction_time": str(bill.at_ms),
        "deduction_amount": amount,
        **left,
    }


def pack(account: str, total: Decimal, spent_milli: int, bought_ms: int, now_ms: int) -> Json:
    """Return an account's one pack of units; times in ms."""
    left_milli = max(int(total * 1000) - spent_milli, 0)
    ends_ms = bought_ms + _PACK_LIFE_MS
    status = "expired" if now_ms >= ends_ms else "runOut" if left_milli == 0 else "online"
    return {
        "resource_pack_name": f"Video-{total}Units",
        "resource_pack_id": f"pack-{account}",
        "resource_pack_type": "decreasing_total",
        "total_quantity": float(total),
        "remaining_quantity": left_milli / 1000,
        "purchase_time": bought_ms,
        "effective_time": bought_ms,
        "invalid_time": ends_ms,
        "status": status,
    }
