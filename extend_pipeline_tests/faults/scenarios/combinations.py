"""The matrix: every failpoint × every fault of the upstream × every provider, as scenarios with a name; the part of it
that runs with the other tests; and what is not in it, with the reason and the test that covers it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.failpoints import POINTS
from extend_pipeline_tests.faults.upstream import CLASSES, PROVIDERS, Fault, faults_of


@dataclass(frozen=True)
class Excluded:
    """A failpoint that the matrix does not walk: for whom, why, and which test covers it."""

    prefix: str
    providers: tuple[str, ...]
    reason: str
    covered_by: str


EXCLUDED: Final = (
    Excluded(
        "recover.",
        ("kling-gateway", "luma", "vidu"),
        "without a key of ours at the provider nothing is looked up: a doubt waits for a callback or the operator",
        "engine/chains/test_crash_walk_without_key.py, engine/doubt/test_doubts_without_key.py",
    ),
    Excluded("copy.", PROVIDERS, "ledger copy is a verb of its own", "ledger/test_handover.py"),
    Excluded("callbacks.", PROVIDERS, "the receiver is a process of its own", "webhooks/"),
    Excluded(
        "reconcile.",
        PROVIDERS,
        "reconcile is a verb of its own, not a part of advance",
        "engine/reconcile/test_reconcile_crashes.py",
    ),
)


@dataclass(frozen=True)
class Scenario:
    """A process of `provider`'s that is killed at the `hit`-th time it comes to `point`, while `faults` are armed: one
    in the matrix, up to two of different places in its slice."""

    provider: str
    point: str
    faults: tuple[Fault, ...]

    @property
    def name(self) -> str:
        """One word, by which it can be run alone."""
        return f"{self.provider}/{self.point}/{','.join(fault.name for fault in self.faults)}"

    @property
    def by_list(self) -> bool:
        """Whether tasks are asked for by the provider's list."""
        return any(fault.where == "list" for fault in self.faults)

    @property
    def hit(self) -> int:
        """The first or the second, by the name: what strikes first, the fault or the kill, differs between the two."""
        return 1 if self.point.startswith("recover") else 1 + zlib.crc32(self.name.encode()) % 2

    @property
    def steps(self) -> tuple[int, ...]:
        """How many hops each video gets; the second kill needs a second hop."""
        return (self.hit, 1)

    @property
    def publishes(self) -> bool:
        """Whether the warehouse is a part of it."""
        return self.point.startswith("publish")

    @property
    def armed(self) -> str:
        """The failpoint as the environment says it."""
        return f"{self.point}=kill@{self.hit}"


def is_walked(point: str, provider: str) -> bool:
    """Whether the matrix kills a process of that provider's at that failpoint."""
    return not any(point.startswith(exclusion.prefix) and provider in exclusion.providers for exclusion in EXCLUDED)


def matrix(providers: Sequence[str] = PROVIDERS) -> list[Scenario]:
    """All of it, mixed, and always in the same order: every part of it has a little of everything."""
    whole = [
        Scenario(provider, point, (fault,))
        for provider in providers
        for point in POINTS
        if is_walked(point, provider)
        for fault in faults_of(provider)
    ]
    return sorted(whole, key=lambda scenario: zlib.crc32(scenario.name.encode()))


def matrix_slice(providers: Sequence[str] = PROVIDERS) -> list[Scenario]:
    """A part in which every failpoint of a provider and every fault of a provider stands at least once. A fault that
    strikes at a question after a task is armed together with one that strikes elsewhere, as long as both kinds last:
    a query and a list exclude each other."""
    chosen: list[Scenario] = []
    for provider in providers:
        points = [point for point in POINTS if is_walked(point, provider)]
        asking = [fault for fault in faults_of(provider) if fault.where in ("query", "list")]
        others = [fault for fault in faults_of(provider) if fault.where not in ("query", "list")]
        # wheels of different size, one turned a little for each provider
        turn = 7 * PROVIDERS.index(provider)
        for index in range(max(len(points), len(asking), len(others))):
            point = points[(index + turn) % len(points)]
            chosen.append(Scenario(provider, point, (*asking[index : index + 1], *others[index : index + 1])))
    return chosen


def named(name: str, among: Iterable[Scenario] | None = None) -> Scenario:
    """The scenario of that name. Raises KeyError."""
    return {scenario.name: scenario for scenario in (among or (*matrix(), *matrix_slice()))}[name]


def class_of(scenario: Scenario) -> str:
    """The class of its provider: A, C or D."""
    return CLASSES[scenario.provider]
