"""The forest of branches: which video leads to which root, and where branches run in a circle. Pure, and linear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BranchGraph:
    """`order` holds every sound key, parents first; `circles` are the keys that lead back to themselves, each one once.

    Keys that hang below a circle or below an unknown key are in neither.
    """

    order: tuple[str, ...]
    circles: tuple[tuple[str, ...], ...]


def topological_order(parents: Mapping[str, str | None]) -> BranchGraph:
    """Sort keys by descent. `parents` maps each key to the key that it branches off, None for a root."""
    order: list[str] = []
    circles: list[tuple[str, ...]] = []
    sound: dict[str, bool] = {}
    for start in parents:
        trail: dict[str, None] = {}
        key: str | None = start
        while key is not None and key in parents and key not in sound and key not in trail:
            trail[key] = None
            key = parents[key]
        if key is not None and key in trail:
            names = list(trail)
            circles.append(tuple(names[names.index(key) :]))
            ends_well = False
        else:
            ends_well = key is None or sound.get(key, False)
        for name in reversed(trail):
            sound[name] = ends_well
            if ends_well:
                order.append(name)
    return BranchGraph(tuple(order), tuple(circles))
