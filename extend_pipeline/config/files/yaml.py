"""Read YAML into nodes. Every scalar keeps its exact text and becomes no number, date or boolean."""

from collections.abc import Iterator
from typing import cast

import yaml

from extend_pipeline.config.files.located import Node, mapping, sequence
from extend_pipeline.config.issues import ConfigIssue

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where PyYAML has it; both give the same events
_MAX_DEPTH = 40  # a catalogue is four deep; deeper nesting is a mistake or an attack on the stack
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_STANDARD_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({None, "!"} | {_STANDARD_TAG + name for name in ("str", "int", "float", "bool", "timestamp")})


class _Unreadable(Exception):
    """A mistake after which reading can't continue."""

    def __init__(self, line: int | None, message: str, hint: str) -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


def read_yaml(text: str, file: str) -> tuple[Node | None, list[ConfigIssue]]:
    """Return the root node (None if the text is no YAML or has no document), and the issues.

    Merge keys and anchors work. Repeated keys, tags, several documents and syntax errors are issues.
    """
    reader = _Reader(text, file)
    try:
        return reader.document(), reader.issues
    except _Unreadable as error:
        reader.report(error.line, error.message, error.hint)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reader.report(None if mark is None else mark.line + 1, *_describe(error, text))
    except yaml.reader.ReaderError as error:
        line = next((n for n, part in enumerate(text.split("\n"), 1) if _unprintable(part)), None)
        code = error.character if isinstance(error.character, int) else ord(error.character[:1] or "\0")
        reader.report(line, f"the character U+{code:04X} can't stand in YAML", "Remove it.")
    except (ValueError, OverflowError) as error:  # raised by the pure-Python scanner for an invalid escape
        reader.report(None, f"this is not YAML: {error}", "Look at the last change.")
    return None, reader.issues


class _Reader:
    """Builds nodes from parser events. `yaml.compose` is not used, because libyaml's composer crashes the process on
    deep nesting, refuses an anchor that is defined again and keeps repeated keys."""

    def __init__(self, text: str, file: str) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=LOADER)
        self._file = file
        self._anchors: dict[str, Node] = {}
        self.issues: list[ConfigIssue] = []

    def report(self, line: int | None, message: str, hint: str, *, field: str | None = None) -> None:
        self.issues.append(ConfigIssue(self._file, line, message, hint, field=field))

    def document(self) -> Node | None:
        root: Node | None = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Unreadable(_line(event), "a second document begins here", 'Remove the "---".')
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        return root

    def _node(self, event: yaml.NodeEvent, depth: int) -> Node:
        line = _line(event)
        if depth > _MAX_DEPTH:
            raise _Unreadable(line, "this is nested too deeply", "A catalogue needs four levels.")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _Unreadable(line, f"*{event.anchor} is not defined above", f"Mark its origin &{event.anchor}.")
            return self._anchors[event.anchor]
        if isinstance(event, yaml.ScalarEvent):
            node = Node(line, self._scalar_text(event))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq")
            node = sequence(list(self._items(depth)), line)
        else:
            self._check_tag(cast(yaml.MappingStartEvent, event), "map")
            node = self._mapping(line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(cast(yaml.NodeEvent, event), depth + 1)

    def _mapping(self, line: int, depth: int) -> Node:
        own: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(cast(yaml.NodeEvent, event), depth + 1)
            merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<" and not event.style
            value = self._node(cast(yaml.NodeEvent, next(self._events)), depth + 1)
            name = event.value if isinstance(event, yaml.ScalarEvent) else key.text
            if not isinstance(name, str):
                raise _Unreadable(_line(event), "a field's name must be plain text", "Write name: value.")
            if merge:
                self._merge(value, merged, _line(event))
            elif name in own:
                self.report(_line(event), f"is written twice (first in line {own[name][0]})", "Keep one.", field=name)
            else:
                own[name] = (_line(event), value)
        return mapping({**own, **{k: v for k, v in merged.items() if k not in own}}, line)

    def _merge(self, value: Node, into: dict[str, tuple[int, Node]], line: int) -> None:
        sources = [node for _, node in value.children.values()] if value.is_sequence else [value]
        for source in sources:
            if not source.is_mapping:
                self.report(line, "<< takes fields from an anchor", "Write <<: *name.")
                continue
            for key, child in source.children.items():
                into.setdefault(str(key), child)

    def _scalar_text(self, event: yaml.ScalarEvent) -> str | None:
        if event.tag == _STANDARD_TAG + "null":
            return None
        if event.tag not in _TEXT_TAGS:
            self.report(_line(event), f"the tag {event.tag} is not understood", "Remove it.")
        text: str = event.value
        plain = not event.style and event.implicit[0]  # style is "" with libyaml and None with the Python parser
        return None if plain and text in _NULLS else text

    def _check_tag(self, event: yaml.CollectionStartEvent, kind: str) -> None:
        if event.tag not in (None, "!", _STANDARD_TAG + kind):
            self.report(_line(event), f"the tag {event.tag} is not understood", "Remove it.")


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _unprintable(part: str) -> bool:
    return yaml.reader.Reader.NON_PRINTABLE.search(part.rstrip("\r")) is not None


def _describe(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line", "Indent with spaces."
    detail = str(error.problem or error.context or "it can't be parsed")
    return f"this is not YAML: {detail}", "Look at this line and the one above: quotes, brackets, indentation."
