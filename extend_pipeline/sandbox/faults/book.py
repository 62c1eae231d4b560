"""The faults that are still to strike, kept on disk, and the rule for which one a request gets."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from extend_pipeline.sandbox.faults.kinds import FaultSpec, Phase, Place
from extend_pipeline.sandbox.faults.orders import read_fault
from extend_pipeline.sandbox.store.database import Store

Ids = Mapping[str, Collection[str]]


@dataclass
class _Entry:
    position: int
    spec: FaultSpec
    skipped: int = 0
    fired: int = 0

    @property
    def row(self) -> tuple[int, str, int, int]:
        return self.position, json.dumps(self.spec.as_mapping()), self.skipped, self.fired


class FaultBook:
    """Orders in the order they came; used by the server's thread alone."""

    def __init__(self, store: Store) -> None:
        """Read what an earlier server left."""
        self._store = store
        self._entries = [
            _Entry(position, read_fault(json.loads(spec)), skipped, fired)
            for position, spec, skipped, fired in store.fault_rows()
        ]

    def add(self, specs: Iterable[FaultSpec]) -> None:
        """Append orders."""
        first = len(self._entries)
        added = [_Entry(first + index, spec) for index, spec in enumerate(specs)]
        self._store.save_faults([entry.row for entry in added])
        self._entries += added

    def clear(self) -> None:
        """Forget all orders, struck or not."""
        self._store.clear_faults()
        self._entries = []

    def take(
        self, where: Place, phase: Phase, ids: Ids, *, strikes: Callable[[FaultSpec], bool] | None = None
    ) -> FaultSpec | None:
        """Return the first order that fits, used up by one; None if none does.

        `strikes` is tried last: if it says no, the order is neither used up nor counted as skipped.
        Every fitting order that still lets requests pass counts this one.
        """
        for entry in self._fitting(where, phase, ids):
            if strikes is not None and not strikes(entry.spec):
                continue
            self._use_up(entry)
            return entry.spec
        return None

    def take_all(self, where: Place, phase: Phase, ids: Ids) -> list[FaultSpec]:
        """Return every order that fits, of each kind the first, each used up by one."""
        taken: dict[str, FaultSpec] = {}
        for entry in self._fitting(where, phase, ids):
            if entry.spec.kind not in taken:
                self._use_up(entry)
                taken[entry.spec.kind] = entry.spec
        return list(taken.values())

    def _fitting(self, where: Place, phase: Phase, ids: Ids) -> Iterator[_Entry]:
        """Orders that are to strike now; one that still lets requests pass counts this one."""
        for entry in self._entries:
            spec = entry.spec
            if spec.where != where or phase not in spec.phases or entry.fired >= spec.times or not spec.fits(ids):
                continue
            if entry.skipped < spec.skip:
                entry.skipped += 1
                self._store.save_faults([entry.row])
                continue
            yield entry

    def _use_up(self, entry: _Entry) -> None:
        entry.fired += 1
        self._store.save_faults([entry.row])

    def describe(self) -> list[dict[str, object]]:
        """Return each order with `fired` and `remaining` counts."""
        return [
            {**entry.spec.as_mapping(), "fired": entry.fired, "remaining": entry.spec.times - entry.fired}
            for entry in self._entries
        ]
