"""How a task tells its callback URL of its changes where faults were ordered: twice, late, never, backwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

_NAME = "callbacks"


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What was ordered for one task; kept in its `details`, so that a restart of the sandbox changes nothing."""

    double: bool = False
    drop: bool = False
    reorder: bool = False
    late_s: float = 0.0

    def as_details(self) -> dict[str, object]:
        """Return an entry for the task's `details`, none for good habits."""
        return {} if self == Habits() else {_NAME: asdict(self)}

    @classmethod
    def from_details(cls, details: Mapping[str, object]) -> Habits:
        """Return what `as_details` wrote."""
        kept = details.get(_NAME)
        return cls(**kept) if isinstance(kept, dict) else cls()


@dataclass(frozen=True)
class Notice:
    """From `at_ms` on, tell of the changes that happened at `changes_ms`, in this order and one after the other."""

    at_ms: int
    changes_ms: tuple[int, ...]


def notices(changes_ms: Sequence[int], habits: Habits) -> list[Notice]:
    """Return when to tell of a task's changes, which are given in ascending order; one each at its own time, as a rule.

    Reordered ones come together when the task ends, since none may tell of what has not happened yet.
    """
    if habits.drop or not changes_ms:
        return []
    late_ms = round(habits.late_s * 1000)
    times = 2 if habits.double else 1
    if habits.reorder:
        backwards = tuple(at_ms for at_ms in reversed(changes_ms) for _ in range(times))
        return [Notice(changes_ms[-1] + late_ms, backwards)]
    return [Notice(at_ms + late_ms, (at_ms,) * times) for at_ms in changes_ms]
