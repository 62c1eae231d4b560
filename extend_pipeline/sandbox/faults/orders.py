"""How an order for a fault is read: every field checked, and a sentence for each that will not do."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import cast

from extend_pipeline.sandbox.config import SandboxError
from extend_pipeline.sandbox.faults.kinds import PLACES, RULES, FaultSpec, Place

_SERVER_ERRORS = {500: 500, 503: 503, 504: 504, 5000: 500, 5001: 503, 5002: 504}
_REDIRECTS = {code: code for code in (301, 302, 303, 307, 308)}
# A callback may come days late; no connection is held for that long.
_MAX_HOLD_S = {"callback_late": 30 * 86_400}
_MAX_LOCATION = 2000
_MATCHES = ("external_task_id", "video_id", "task_id", "provider")
# These go wrong after the task was made by default; `html` alone strikes before it.
_AFTER_BY_DEFAULT = frozenset({"not_json", "empty_body", "redirect"})


def read_fault(order: object) -> FaultSpec:
    """Read one order; SandboxError names the field, what was given and what would do."""
    if not isinstance(order, Mapping):
        raise SandboxError(f"a fault must be an object, got {order!r}")
    fields = {str(name): value for name, value in order.items()}
    unknown = fields.keys() - FaultSpec.__dataclass_fields__.keys()
    if unknown:
        raise SandboxError(f"unknown fault fields {sorted(unknown)}; known: {sorted(FaultSpec.__dataclass_fields__)}")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in RULES:
        raise SandboxError(f"unknown fault kind {kind!r}; known: {sorted(RULES)}")
    where = fields.get("where", next(place for place in PLACES if place in RULES[kind].places))
    if where not in RULES[kind].places:
        raise SandboxError(f"{kind} cannot strike at {where!r}, only at {sorted(RULES[kind].places)}")
    match = fields.get("match") or {}
    if not isinstance(match, Mapping) or any(name not in _MATCHES for name in match):
        raise SandboxError(f"match of {kind} must name some of {list(_MATCHES)}, got {match!r}")
    spec = FaultSpec(
        kind=kind,
        where=cast(Place, where),
        times=_whole(kind, "times", fields.get("times", 1), 1),
        skip=_whole(kind, "skip", fields.get("skip", 0), 0),
        match={str(name): str(value) for name, value in match.items()},
        code=_code(kind, fields.get("code")),
        hold=_hold(kind, fields.get("hold", 30.0)),
        after=_yes_no(kind, fields.get("after", kind in _AFTER_BY_DEFAULT)),
        variant=str(fields.get("variant", "cut")),
        location=_location(kind, fields.get("location", "")),
        units=_units(kind, fields.get("units", "")),
    )
    if spec.variant not in ("cut", "moov"):
        raise SandboxError(f"variant of {kind} must be 'cut' or 'moov', got {spec.variant!r}")
    if "task_id" in spec.match and where in ("submit", "callback") and "after" not in spec.phases:
        raise SandboxError(f"{kind} strikes before there is a task_id to match")
    return spec


def _whole(kind: str, name: str, value: object, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SandboxError(f"{name} of {kind} must be a whole number of at least {least}, got {value!r}")
    return value


def _yes_no(kind: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise SandboxError(f"after of {kind} must be true or false, got {value!r}")
    return value


def _hold(kind: str, value: object) -> float:
    longest = _MAX_HOLD_S.get(kind, 3600)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= longest:
        raise SandboxError(f"hold of {kind} must be 0 to {longest} seconds, got {value!r}")
    return float(value)


def _location(kind: str, value: object) -> str:
    if value == "":
        return ""
    if kind != "redirect":
        raise SandboxError(f"location is for redirect, {kind} leads nowhere")
    # Any scheme, since what leads to file:// is worth ordering; but nothing that would break the header.
    if not isinstance(value, str) or len(value) > _MAX_LOCATION or any(not "!" <= char <= "~" for char in value):
        raise SandboxError(
            f"location of redirect must be a URL of at most {_MAX_LOCATION} visible ASCII characters, got {value!r}"
        )
    return value


def _units(kind: str, value: object) -> str:
    if kind != "odd_deduction":
        if value != "":
            raise SandboxError(f"units are for odd_deduction, {kind} changes no price")
        return ""
    try:
        units = Decimal(str(value))
    except InvalidOperation:
        units = Decimal("NaN")
    if isinstance(value, bool) or not units.is_finite() or not 0 <= units < 10**9 or units * 1000 % 1:
        raise SandboxError(f'units of {kind} must be 0 or more, with three decimals at most, like "4.5", got {value!r}')
    return str(value)


def _code(kind: str, value: object) -> int:
    choices = {200: 200, 502: 502} if kind.startswith("html") else _SERVER_ERRORS
    if kind == "redirect":
        choices = _REDIRECTS
    if value is None:
        return {"html": 502, "html_download": 200, "redirect": 307}.get(kind, 500)
    if not isinstance(value, int) or value not in choices:
        raise SandboxError(f"code of {kind} must be one of {sorted(choices)}, got {value!r}")
    return choices[value]
