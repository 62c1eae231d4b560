"""Nodes: values of YAML and CSV files with their lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a file. A scalar is its exact text, or None for null and for nothing.

    `children` are pairs of a line and a node, by key or by index; the line of a field is that of its key.
    """

    line: int
    value: object
    children: Mapping[str | int, tuple[int, Node]] = field(default_factory=dict)

    def child(self, key: str | int) -> Node | None:
        """Return the node under a key or index, or None."""
        return self.children[key][1] if key in self.children else None

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


def sequence(items: Sequence[Node], line: int) -> Node:
    """Return the node of a list."""
    return Node(line, [item.value for item in items], {n: (item.line, item) for n, item in enumerate(items)})


def mapping(fields: Mapping[str, tuple[int, Node]], line: int) -> Node:
    """Return the node of a set of fields, which are pairs of the key's line and the value, by key."""
    children: dict[str | int, tuple[int, Node]] = {}
    children.update(fields)
    return Node(line, {key: node.value for key, (_, node) in fields.items()}, children)


def locate(node: Node, loc: Sequence[object]) -> tuple[str | None, int, str | None]:
    """Return the dotted name, the line and the text of the field at a path of keys and indexes. A missing field has the
    line of its parent. Steps that are missing in the file are skipped, except for the last one. Steps that begin with
    `form:` are pydantic's tags of a union and are ignored. Items of lists are numbered from 1.
    """
    line, names, current, complete = node.line, list[str](), node, True
    path = [step for step in loc if not str(step).startswith("form:")]
    for position, step in enumerate(path):
        if isinstance(step, str | int) and step in current.children:
            line, current = current.children[step]
            names.append(str(step + 1) if isinstance(step, int) else str(step))
        elif position == len(path) - 1:
            names.append(str(step))
            complete = False
    return ".".join(names) or None, line, current.text if complete and path else None
