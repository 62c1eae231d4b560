"""Which faults exist, where and when each can strike, and how an order for one is read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, cast

from extend_pipeline.sandbox.config import SandboxError

Place = Literal["submit", "query", "list", "download"]
# connect: before the body is read. before: nothing is made. make: while the task is made.
# alter: changes the answer's fields. after: all is done, and the answer goes wrong.
Phase = Literal["connect", "before", "make", "alter", "after"]

_PLACES: tuple[Place, ...] = ("submit", "query", "list", "download")
_API = frozenset({"submit", "query", "list"})
_ALL = frozenset(_PLACES)
_RESULT = frozenset({"query", "list"})
_DOWNLOAD = frozenset({"download"})


@dataclass(frozen=True)
class _Kind:
    places: frozenset[str]
    phases: tuple[Phase, ...]


_KINDS: dict[str, _Kind] = {
    "refuse": _Kind(_ALL, ("connect", "before")),
    "reset_before": _Kind(_ALL, ("before",)),
    "timeout_before": _Kind(_ALL, ("before",)),
    "5xx_before": _Kind(_ALL, ("before",)),
    "reset_after": _Kind(_API, ("after",)),
    "timeout_after": _Kind(_API, ("after",)),
    "5xx_after": _Kind(_API, ("after",)),
    "html": _Kind(_ALL, ("before", "after")),
    "not_json": _Kind(_API, ("before", "after")),
    "empty_body": _Kind(_ALL, ("before", "after")),
    "cut_body": _Kind(_API, ("after",)),
    "slow_headers": _Kind(_ALL, ("after",)),
    "fail_task": _Kind(frozenset({"submit"}), ("make",)),
    "code_200": _Kind(_API, ("alter",)),
    "integer_ids": _Kind(_API, ("alter",)),
    "missing_task_info": _Kind(_API, ("alter",)),
    "no_unit_deduction": _Kind(_RESULT, ("alter",)),
    "videos_null": _Kind(_RESULT, ("alter",)),
    "expired_url": _Kind(_DOWNLOAD, ("before",)),
    "html_download": _Kind(_DOWNLOAD, ("before",)),
    "broken_file": _Kind(_DOWNLOAD, ("after",)),
    "cut_download": _Kind(_DOWNLOAD, ("after",)),
}
# providers.md, "Kling's codes": each can be ordered as code_<number>, whatever the request deserves.
_CODES = (1000, 1001, 1002, 1003, 1004, 1100, 1101, 1102, 1103, 1200, 1201, 1202, 1203, 1300, 1301, 1302, 1303, 1304)
_KINDS |= {f"code_{code}": _Kind(_API, ("before",)) for code in _CODES}
_KINDS["auth_1004"] = _Kind(_API, ("before",))
# Kling's commonest codes in words, each said by a surface in its own way.
REFUSALS = {
    "unauthorized": 1002,
    "no_money": 1102,
    "forbidden": 1103,
    "not_found": 1203,
    "content_refusal": 1301,
    "rate_limit": 1302,
}
# What was met at the other surfaces; each may be ordered anywhere, but without a `match` it strikes Kling's too.
_OTHER_KINDS: dict[str, _Kind] = {
    "two_documents": _Kind(_API, ("after",)),
    "expire_task": _Kind(frozenset({"submit"}), ("make",)),
    "unknown_state": _Kind(_RESULT, ("alter",)),
    "wrapped_failure": _Kind(_API, ("alter",)),
    **{name: _Kind(_API, ("before",)) for name in REFUSALS},
}
_RULES = _KINDS | _OTHER_KINDS

_SERVER_ERRORS = {500: 500, 503: 503, 504: 504, 5000: 500, 5001: 503, 5002: 504}
_MATCHES = ("external_task_id", "video_id", "task_id", "provider")
# These go wrong after the task was made unless told otherwise; `html` alone is before unless told otherwise.
_AFTER_BY_DEFAULT = frozenset({"not_json", "empty_body"})


@dataclass(frozen=True, kw_only=True)
class FaultSpec:
    """An order: strike `times` matching requests of `where`, after letting `skip` of them pass.

    `code` is an HTTP status (5xx kinds: 500, 503, 504; html: 200, 502), `hold` seconds, `after` only for kinds that
    can strike on both sides of the work, `variant` for broken_file: "cut" or "moov".
    """

    kind: str
    where: Place
    times: int = 1
    skip: int = 0
    match: Mapping[str, str] = field(default_factory=dict)
    code: int = 500
    hold: float = 30.0
    after: bool = False
    variant: str = "cut"

    @property
    def phases(self) -> tuple[Phase, ...]:
        """When it can strike; a kind that fits both sides takes the side that `after` says."""
        phases = _RULES[self.kind].phases
        if phases == ("before", "after"):
            return ("after",) if self.after else ("before",)
        return phases

    def fits(self, ids: Mapping[str, Collection[str]]) -> bool:
        """Whether every id asked for is among the request's."""
        return all(wanted in ids.get(name, ()) for name, wanted in self.match.items())

    def as_mapping(self) -> dict[str, object]:
        """The order as JSON, readable by `read_fault`."""
        return asdict(self)


def read_fault(order: object) -> FaultSpec:
    """Read one order; SandboxError names the field, what was given and what would do."""
    if not isinstance(order, Mapping):
        raise SandboxError(f"a fault must be an object, got {order!r}")
    fields = {str(name): value for name, value in order.items()}
    unknown = fields.keys() - FaultSpec.__dataclass_fields__.keys()
    if unknown:
        raise SandboxError(f"unknown fault fields {sorted(unknown)}; known: {sorted(FaultSpec.__dataclass_fields__)}")
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in _RULES:
        raise SandboxError(f"unknown fault kind {kind!r}; known: {sorted(_RULES)}")
    where = fields.get("where", next(place for place in _PLACES if place in _RULES[kind].places))
    if where not in _RULES[kind].places:
        raise SandboxError(f"{kind} cannot strike at {where!r}, only at {sorted(_RULES[kind].places)}")
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
    )
    if spec.variant not in ("cut", "moov"):
        raise SandboxError(f"variant of {kind} must be 'cut' or 'moov', got {spec.variant!r}")
    if "task_id" in spec.match and where == "submit" and "after" not in spec.phases:
        raise SandboxError(f"{kind} strikes a submit before there is a task_id to match")
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
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 3600:
        raise SandboxError(f"hold of {kind} must be 0 to 3600 seconds, got {value!r}")
    return float(value)


def _code(kind: str, value: object) -> int:
    choices = {200: 200, 502: 502} if kind.startswith("html") else _SERVER_ERRORS
    if value is None:
        return {"html": 502, "html_download": 200}.get(kind, 500)
    if not isinstance(value, int) or value not in choices:
        raise SandboxError(f"code of {kind} must be one of {sorted(choices)}, got {value!r}")
    return choices[value]
