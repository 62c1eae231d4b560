"""Sort videos so that parents come before their branches, and find circles. Pure, in linear time."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BranchGraph:
    """`order` holds every key that leads to a root, parents first; `circles` are the keys that lead back to themselves,
    each circle once. Keys below a circle or below an unknown key are in neither."""

    order: tuple[str, ...]
    circles: tuple[tuple[str, ...], ...]


def topological_order(parents: Mapping[str, str | None]) -> BranchGraph:
    """Return keys sorted by descent. `parents` maps each key to the key that it branches off, None for a root."""
    order: list[str] = []
    circles: list[tuple[str, ...]] = []
    rooted: dict[str, bool] = {}
    for start in parents:
        trail: dict[str, None] = {}
        key: str | None = start
        while key is not None and key in parents and key not in rooted and key not in trail:
            trail[key] = None
            key = parents[key]
        if key is not None and key in trail:
            names = list(trail)
            circles.append(tuple(names[names.index(key) :]))
            has_root = False
        else:
            has_root = key is None or rooted.get(key, False)
        for name in reversed(trail):
            rooted[name] = has_root
            if has_root:
                order.append(name)
    return BranchGraph(tuple(order), tuple(circles))
