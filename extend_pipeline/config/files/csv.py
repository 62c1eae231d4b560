"""Reads catalog.csv into the same located nodes as YAML: one row a video, dotted columns for what is nested."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Sequence

from extend_pipeline.config.files.located import Node, mapping, scalar, sequence
from extend_pipeline.config.files.sheet import CommaCell, find_header, plain_name
from extend_pipeline.config.issues import ConfigIssue, did_you_mean

_UNDOTTED = {"branch_of": "source.branch_of", "hop": "source.hop"}
_LISTS = frozenset({"extend.prompts"})
# A field longer than this is refused by the csv module; an image of 10 MB in base64 is 13.4 million characters.
_MAX_CELL = 14_000_000


class _BadCell(Exception):
    """A cell that can't be read; told with its row."""

    def __init__(self, column: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.column, self.message, self.hint = column, message, hint


def read_csv(text: str, file: str, columns: Collection[str]) -> tuple[list[Node], list[ConfigIssue]]:
    """Return the rows as located entries, and what was wrong. `columns` are the dotted names that any provider knows.

    An empty cell is a field that was not written. The separator is the header's: comma, semicolon or tab. Column names
    may be in any case, with spaces or hyphens; a spreadsheet's `sep=` line is passed over.
    """
    problems: list[ConfigIssue] = []
    nodes: list[Node] = []
    found_header = find_header(text, lambda name: _column(name) in columns)
    header: list[str | None] | None = None
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=found_header.separator, strict=True)
    line = 1
    try:
        for row in rows:
            started, line = line, rows.line_num + 1
            if rows.line_num < found_header.line or not any(cell.strip() for cell in row):
                continue
            if header is None:
                names = [_column(name) for name in row]
                problems += _header_problems(names, file, started, columns)
                # what was told of the header is not told again of every row
                header = [
                    name if name == "" or (name in columns and name not in names[:position]) else None
                    for position, name in enumerate(names)
                ]
            else:
                cells = row if found_header.separator == "," else [CommaCell(cell) for cell in row]
                found = _entry(cells, header, file, started)
                problems += [found] if isinstance(found, ConfigIssue) else []
                nodes += [found] if isinstance(found, Node) else []
    except csv.Error as error:
        problems.append(
            ConfigIssue(file, line, None, None, None, f"this is not CSV: {error}", "Look at the quotes from here on.")
        )
    return nodes, problems


def _column(name: str) -> str:
    plain = plain_name(name)
    return _UNDOTTED.get(plain, plain)


def _header_problems(header: Sequence[str], file: str, line: int, columns: Collection[str]) -> list[ConfigIssue]:
    def problem(column: str, message: str, hint: str) -> ConfigIssue:
        return ConfigIssue(file, line, None, column, None, message, hint)

    found = [
        problem(name, "is not a known column", did_you_mean(name, sorted(columns), label="Columns"))
        for name in dict.fromkeys(header)
        if name and name not in columns
    ]
    found += [
        problem(name, "stands twice in the header", "Keep one.")
        for name, count in Counter(header).items()
        if name and count > 1
    ]
    if "key" not in header:
        found.append(problem("key", "is missing in the header", "The first line names the columns: key,account,…"))
    return found


def _entry(row: Sequence[str], header: Sequence[str | None], file: str, line: int) -> Node | ConfigIssue:
    key = dict(zip(header, row, strict=False)).get("key") or None
    top: dict[str, tuple[int, Node]] = {}
    nested: dict[str, dict[str, tuple[int, Node]]] = {"source": {}, "extend": {}}
    for position, cell in enumerate(row):
        column = header[position] if position < len(header) else ""
        if cell == "" or column is None:
            continue
        if column == "":
            return ConfigIssue(
                file, line, key, None, cell, "stands in a column without a name", "Quote cells that hold a separator."
            )
        try:
            node = _cell(column, cell, line)
        except _BadCell as bad:
            return ConfigIssue(file, line, key, bad.column, cell, bad.message, bad.hint)
        group, dot, name = column.partition(".")
        if dot and group in nested:
            nested[group][name] = (line, node)
        else:
            top[column] = (line, node)
    top |= {group: (line, mapping(fields, line)) for group, fields in nested.items()}
    return mapping(top, line)


def _cell(column: str, cell: str, line: int) -> Node:
    if column not in _LISTS:
        return scalar(cell, line)
    if cell.lstrip().startswith("["):
        try:
            items = json.loads(cell, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            # taken for separated prompts it would be sent, and paid for, with its brackets
            raise _BadCell(column, "begins like a JSON list and is none", 'Write ["one", "two"] or one|two.') from error
        if not all(isinstance(item, str) for item in items):
            raise _BadCell(column, "is a list of more than texts", 'Write ["one", "two"] or one|two.')
    else:
        items = [part.strip() for part in cell.split("|")]
    return sequence([scalar(item, line) for item in items], line)
