"""Which faults exist, and where and when each can strike; fault_orders reads orders for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

Place = Literal["submit", "query", "list", "download", "billing", "callback"]
# connect: before the body is read. before: nothing is made. make: while the task is made; price: what it costs.
# alter: changes the answer's fields. after: all is done, and the answer goes wrong.
# tell: how a task that has a callback URL tells it of its changes, settled when the task is made.
Phase = Literal["connect", "before", "make", "price", "alter", "after", "tell"]

PLACES: tuple[Place, ...] = ("submit", "query", "list", "download", "billing", "callback")
_TASKS = frozenset({"submit", "query", "list"})
_API = _TASKS | {"billing"}
_ALL = _API | {"download"}
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
    "redirect": _Kind(_ALL, ("before", "after")),
    "fail_task": _Kind(frozenset({"submit"}), ("make",)),
    "code_200": _Kind(_TASKS, ("alter",)),
    "integer_ids": _Kind(_TASKS, ("alter",)),
    "missing_task_info": _Kind(_TASKS, ("alter",)),
    "no_unit_deduction": _Kind(_RESULT, ("alter",)),
    "videos_null": _Kind(_RESULT, ("alter",)),
    "expired_url": _Kind(_DOWNLOAD, ("before",)),
    "html_download": _Kind(_DOWNLOAD, ("before",)),
    "broken_file": _Kind(_DOWNLOAD, ("after",)),
    "cut_download": _Kind(_DOWNLOAD, ("after",)),
    **{f"callback_{how}": _Kind(frozenset({"callback"}), ("tell",)) for how in ("double", "late", "drop", "reorder")},
}
# docs/upstream/kling.md, "Codes": each can be ordered as code_<number>, regardless of the request.
_CODES = (1000, 1001, 1002, 1003, 1004, 1100, 1101, 1102, 1103, 1200, 1201, 1202, 1203, 1300, 1301, 1302, 1303, 1304)
_KINDS |= {f"code_{code}": _Kind(_API, ("before",)) for code in _CODES}
_KINDS["auth_1004"] = _Kind(_API, ("before",))
# The commonest codes in words, each said by a surface in its own way.
REFUSALS = {
    "unauthorized": 1002,
    "no_money": 1102,
    "forbidden": 1103,
    "not_found": 1203,
    "content_refusal": 1301,
    "rate_limit": 1302,
}
# What was met at the other surfaces; each may be ordered anywhere, but without a `match` it strikes all.
_OTHER_KINDS: dict[str, _Kind] = {
    "two_documents": _Kind(_API, ("after",)),
    "expire_task": _Kind(frozenset({"submit"}), ("make",)),
    "unknown_state": _Kind(_RESULT, ("alter",)),
    "wrapped_failure": _Kind(_TASKS, ("alter",)),
    **{name: _Kind(_API, ("before",)) for name in REFUSALS},
}
# The order names what is charged instead of the price.
_PRICES = {"odd_deduction": _Kind(frozenset({"submit"}), ("price",))}
RULES = _KINDS | _OTHER_KINDS | _PRICES


@dataclass(frozen=True, kw_only=True)
class FaultSpec:
    """An order: strike `times` matching requests of `where`, after letting `skip` of them pass.

    `code` is an HTTP status (5xx kinds: 500, 503, 504; html: 200, 502; redirect: 301, 302, 303, 307, 308), `hold`
    seconds, `after` only for kinds that can strike on both sides of the work, `variant` for broken_file: "cut" or
    "moov". `location` is where a redirect leads, "" meaning the same address once more. `units` is what odd_deduction
    takes instead of the price, as text, in the surface's own unit.

    Callback faults settle how each matching task with a callback URL tells it: `callback_double` sends every notice
    twice, `callback_late` `hold` seconds after its time, `callback_drop` never, `callback_reorder` all of them when the
    task ends, the last change first. One task may have several of them.
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
    location: str = ""
    units: str = ""

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Return when it can strike; a kind that fits both sides takes the side that `after` says."""
        phases = RULES[self.kind].phases
        if phases == ("before", "after"):
            return ("after",) if self.after else ("before",)
        return phases

    def fits(self, ids: Mapping[str, Collection[str]]) -> bool:
        """Return whether every id asked for is among the request's."""
        return all(wanted in ids.get(name, ()) for name, wanted in self.match.items())

    def as_mapping(self) -> dict[str, object]:
        """Return the order as JSON, readable by `read_fault`."""
        return asdict(self)
