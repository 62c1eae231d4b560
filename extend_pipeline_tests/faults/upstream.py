"""Every fault that the sandbox offers, at every place where it can strike a provider's accounts, read from the
sandbox's own tables; and what is left out, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from starlette.responses import Response

from extend_pipeline.sandbox.config import SandboxConfig
from extend_pipeline.sandbox.faults.kinds import REFUSALS, RULES
from extend_pipeline.sandbox.surface.error_shapes import shaped
from extend_pipeline.sandbox.surface.errors import Refusal, refusal_response
from extend_pipeline.sandbox.vidu import errors as vidu

PROVIDERS: Final = ("kling", "kling-gateway", "luma", "vidu")
CLASSES: Final = {"kling": "A", "kling-gateway": "C", "luma": "C", "vidu": "D"}

HOLD_S: Final = 1.5
"""How long a silent upstream keeps still: longer than any deadline of the matrix."""

_CODES: Final = tuple(int(kind[5:]) for kind in RULES if kind.startswith("code_1"))

_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "kling": ("submit", "query", "list", "download"),
    "kling-gateway": ("submit", "query", "download"),
    "luma": ("submit", "query", "list", "download"),
    "vidu": ("submit", "query", "download"),
}

OTHER_PLACES: Final = {
    "billing": "only `reconcile` reads it, which is no part of advance (engine/reconcile/test_billed_amounts.py)",
    "callback": "callbacks are off by default (webhooks/test_end_to_end.py, and the special forged-callback)",
}

_NOTHING_TO_BEND: Final[Mapping[str, frozenset[str]]] = {
    "kling": frozenset({"wrapped_failure"}),
    "kling-gateway": frozenset({"wrapped_failure", "no_unit_deduction"}),
    "luma": frozenset({"code_200", "integer_ids", "missing_task_info", "no_unit_deduction"}),
    "vidu": frozenset({"code_200", "integer_ids", "missing_task_info", "wrapped_failure"}),
}
"""Alterations of fields that a provider's responses don't have: ordered, they never strike."""

_NOTHING_AT: Final = frozenset(
    {
        ("luma", "wrapped_failure", "query"),  # tasks take no time here: only a submit's answer says "pending"
        ("luma", "wrapped_failure", "list"),
        ("kling-gateway", "missing_task_info", "submit"),
    }
)
"""The same, at single places."""


@dataclass(frozen=True)
class Fault:
    """One fault at one place; `details` are the rest of the order."""

    kind: str
    where: str
    details: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """`html+after@submit`: kind, what differs from the default, place."""
        return "+".join([self.kind, *map(str, self.details.values())]) + f"@{self.where}"

    def order(self, **more: Any) -> dict[str, Any]:
        """Return the order for the sandbox."""
        sided = {key: value == "after" if key == "after" else value for key, value in self.details.items()}
        return {"kind": self.kind, "where": self.where, "hold": HOLD_S, **sided, **more}


def faults_of(provider: str) -> list[Fault]:
    """Every fault that can strike an account of the provider, in a fixed order."""
    return [
        fault
        for where in _PLACES[provider]
        for kind, rule in sorted(RULES.items())
        if where in rule.places and _is_offered(provider, kind, where)
        for fault in _forms(kind, where)
    ]


def without_effect(provider: str) -> list[tuple[str, str]]:
    """Kinds and places of which `left_out` and this table say that there is nothing to bend."""
    everywhere = [(kind, where) for kind in sorted(_NOTHING_TO_BEND[provider]) for where in _PLACES[provider]]
    return [
        (kind, where)
        for kind, where in [*everywhere, *((kind, at) for who, kind, at in sorted(_NOTHING_AT) if who == provider)]
        if where in RULES[kind].places
    ]


@cache
def left_out(provider: str) -> dict[str, str]:
    """The kinds that are not ordered for a provider, and why."""
    same = {word: f"the same answer as code_{code}" for word, code in REFUSALS.items()} | {
        "auth_1004": "the same answer as code_1004"
    }
    repeated = {
        f"code_{code}": f"said in the same words as code_{first}"
        for code, first in _first_of_its_words(provider).items()
        if code != first
    }
    bent = dict.fromkeys(_NOTHING_TO_BEND[provider], "its responses have no such field")
    unreported = {} if provider == "kling" else {"odd_deduction": "it doesn't tell what it takes; an invoice does"}
    return same | repeated | bent | unreported


def _is_offered(provider: str, kind: str, where: str) -> bool:
    return kind not in left_out(provider) and (provider, kind, where) not in _NOTHING_AT


def _forms(kind: str, where: str) -> Iterator[Fault]:
    """Both sides of the work where a kind can strike on both; each way of breaking a film."""
    if kind == "broken_file":
        yield from (Fault(kind, where, {"variant": variant}) for variant in ("cut", "moov"))
    elif kind == "odd_deduction":
        yield Fault(kind, where, {"units": "7.5"})
    elif RULES[kind].phases == ("before", "after") and where != "download":
        yield from (Fault(kind, where, {"after": side}) for side in ("before", "after"))
    else:
        yield Fault(kind, where)


def _first_of_its_words(provider: str) -> dict[int, int]:
    """Each of Kling's codes with the first one that a provider says in the same words: status and error word."""
    config = SandboxConfig()
    coded: dict[str, Callable[[int], Response]] = {
        "kling": lambda code: refusal_response(Refusal(code)),
        "kling-gateway": lambda code: shaped(config.gateway.error_shape, Refusal(code)),
        "luma": lambda code: shaped(config.luma.error_shape, Refusal(code)),
        "vidu": lambda code: vidu.refusal_response(vidu.by_code(code)),
    }
    first: dict[tuple[int, str], int] = {}
    return {code: first.setdefault(_word(coded[provider](code)), code) for code in _CODES}


def _word(answer: Response) -> tuple[int, str]:
    content = json.loads(bytes(answer.body))
    error = content.get("error", content)
    # the words of a 403 are what tells "no money" from "not allowed"
    return answer.status_code, f"{error['code']} {error['message'] if answer.status_code == 403 else ''}"
