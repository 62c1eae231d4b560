"""The faults that a machine may order, drawn from the sandbox's own tables."""

from __future__ import annotations

from typing import Any, Final

from extend_pipeline.sandbox.faults.kinds import RULES

_SLOW: Final = frozenset({"timeout_before", "timeout_after", "slow_headers"})
PLACES: Final = ("submit", "submit", "query", "query", "download", "list", "billing")
_HOLD_S: Final = 0.7  # longer than any deadline of the machine
_LIES: Final = frozenset({"wrapped_failure"})
"""What tells a failure of a task that then succeeds; only in an answer to a submit, where nothing rests on it."""


SILENCES: Final = (
    "reset_after",
    "5xx_after",
    "cut_body",
    "empty_body",
    "html",
    "not_json",
    "redirect",
    "timeout_after",
)
"""What leaves a submit in doubt when it strikes after the work was done."""


def kinds_at(where: str) -> list[str]:
    """Every kind that can strike at a place, those that take real time last."""
    kinds = [kind for kind, rule in RULES.items() if where in rule.places and not (kind in _LIES and where != "submit")]
    return sorted(kinds, key=lambda kind: (kind in _SLOW, kind))


def order(kind: str, where: str, *, account: str | None, times: int, skip: int, after: bool) -> dict[str, Any]:
    """An order for one fault. Only Kling tells what it takes, so that only there another price can be seen."""
    fault: dict[str, Any] = {"kind": kind, "where": where, "times": times, "skip": skip, "hold": _HOLD_S}
    if account is not None:
        fault["match"] = {"provider": account}
    if kind == "odd_deduction":
        fault |= {"units": "3.5", "match": {"provider": "kling"}}
    if RULES[kind].phases == ("before", "after"):
        fault["after"] = after
    return fault
