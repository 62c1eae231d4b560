"""What was written, with the line of everything: the one shape that YAML and CSV are both read into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Node:
    """A value as it was written. Scalars are text, exactly (None where nothing or null was written).

    `children` are (line, node) by key or by index; the line of a field is that of its key.
    """

    line: int
    value: object
    children: Mapping[str | int, tuple[int, Node]] = field(default_factory=dict)

    def child(self, key: str | int) -> Node | None:
        """Return the node under a key or index, or None."""
        found = self.children.get(key)
        return None if found is None else found[1]

    @property
    def text(self) -> str | None:
        """Return the text of a scalar; None for anything else and for null."""
        return self.value if isinstance(self.value, str) else None

    @property
    def is_mapping(self) -> bool:
        """Return True for a set of fields."""
        return isinstance(self.value, dict)

    @property
    def is_sequence(self) -> bool:
        """Return True for a list."""
        return isinstance(self.value, list)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands: its dotted name, its line (the nearest thing above it, if it is missing), its text."""

    field: str | None
    line: int
    given: str | None


def scalar(text: str | None, line: int) -> Node:
    """Return a single value."""
    return Node(line, text)


def sequence(items: Sequence[Node], line: int) -> Node:
    """Return a list; its items' lines are their own."""
    return Node(line, [item.value for item in items], {n: (item.line, item) for n, item in enumerate(items)})


def mapping(fields: Mapping[str, tuple[int, Node]], line: int) -> Node:
    """Return a set of fields: (line of the key, value) by key."""
    children: dict[str | int, tuple[int, Node]] = {}
    children.update(fields)
    return Node(line, {key: node.value for key, (_, node) in fields.items()}, children)


def locate(node: Node, loc: Sequence[object]) -> Place:
    """Find a path of keys and indexes. Steps that were not written are passed over, but the last one still names the
    field; steps that begin with `form:` are pydantic's names for alternatives and never count.

    Items of lists are named counting from one, as people do.
    """
    line, names, here, complete = node.line, list[str](), node, True
    path = [step for step in loc if not str(step).startswith("form:")]
    for position, step in enumerate(path):
        found = here.children.get(step) if isinstance(step, str | int) else None
        if found is not None:
            line, here = found
            names.append(str(step + 1) if isinstance(step, int) else str(step))
        elif position == len(path) - 1:
            names.append(str(step))
            complete = False
    return Place(".".join(names) or None, line, here.text if complete and path else None)
