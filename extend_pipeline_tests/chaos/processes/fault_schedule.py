"""What the storm does next, drawn from one seed: which fault at which provider, which failpoint, which signal, when.

The draws repeat with the seed; what they meet depends on the machine, so that a run can be approximated again, not
repeated.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from extend_pipeline.base.failpoints import POINTS
from extend_pipeline.sandbox.faults.kinds import RULES
from extend_pipeline_tests.chaos.processes.workers import LEASE_S

PROVIDERS: Final = ("kling", "kling-gateway", "vidu", "luma")
PLACES: Final = ("submit", "query", "list", "download")
_WEIGHTS: Final = (5, 3, 2, 3)  # a fault at a submit is what money can be lost by

_STOPS_ACCOUNT: Final = ("code_1000", "code_1001", "code_1002", "code_1100", "code_1101", "code_1102", "code_1103")
RARE: Final = (*_STOPS_ACCOUNT, "code_1304", "unauthorized", "no_money", "forbidden", "code_1302", "code_1303")
"""Kinds that hold a whole account for a while: too many of them and nothing happens that could go wrong."""

_OTHER_PRICE: Final = "odd_deduction"
"""Left out: what the operator makes of a price that was not agreed on is for a reconciliation."""

_HOLD_S: Final = 1.2  # longer than a POST or a GET may take
_PUBLISHING: Final = tuple(point for point in POINTS if point.startswith("publish"))
_WORKING: Final = tuple(point for point in POINTS if not point.startswith("publish"))


@dataclass
class FaultSchedule:
    """A stream of draws."""

    random: random.Random

    def gap(self, per_second: float) -> float:
        """Seconds to the next of something that happens so often a second on average."""
        return self.random.expovariate(per_second)

    def fault(self) -> dict[str, Any]:
        """An order for one fault of any kind at any place, mostly of one provider."""
        place = self.random.choices(PLACES, _WEIGHTS)[0]
        kinds = [kind for kind, rule in sorted(RULES.items()) if place in rule.places and kind != _OTHER_PRICE]
        kind = self.random.choice(kinds)
        if kind in RARE or kind == "rate_limit":
            kind = self.random.choice(kinds)  # twice drawn: so many times rarer
        order: dict[str, Any] = {"kind": kind, "where": place, "hold": _HOLD_S}
        if set(RULES[kind].phases) == {"before", "after"}:
            order["after"] = self.random.random() < 0.6
        if kind == "broken_file":
            order["variant"] = self.random.choice(("cut", "moov"))
        if place != "download":
            order["match"] = self._match(place)
        return order

    def _match(self, place: str) -> Mapping[str, str]:
        return {"provider": self.random.choice(("kling", "luma") if place == "list" else PROVIDERS)}

    def points(self, *, publisher: bool) -> str:
        """Failpoints for a process that starts: half of the workers have one, and so has nearly every publisher."""
        if self.random.random() < (0.2 if publisher else 0.4):
            return ""
        point = self.random.choice(_PUBLISHING if publisher else _WORKING)
        action = self.random.choices(("kill", "pause", "raise"), (6, 3, 1))[0]
        return f"{point}={action}@{self.random.randint(1, 3)}"

    def stop_s(self) -> float:
        """How long a process is held: two times in five until well after its lease has run out."""
        long = self.random.random() < 0.4
        return LEASE_S + self.random.uniform(0.1, 0.8) if long else self.random.uniform(0.05, 0.5)
