"""Read catalog.csv into the same nodes as YAML: a row for each video, dotted columns for nested fields."""

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
    """A cell that can't be read."""

    def __init__(self, column: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.column, self.message, self.hint = column, message, hint


def read_csv(text: str, file: str, columns: Collection[str]) -> tuple[list[Node], list[ConfigIssue]]:
    """Return the rows as nodes, and the issues. `columns` are the dotted names of the fields of all providers.

    An empty cell is a field that was not written. The separator is the header's: comma, semicolon or tab. Column names
    may be in any case, with spaces or hyphens; a spreadsheet's `sep=` line is skipped.
    """
    issues: list[ConfigIssue] = []
    nodes: list[Node] = []
    head = find_header(text, lambda name: _column(name) in columns)
    header: list[str | None] | None = None
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_CELL))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=head.separator, strict=True)
    line = 1
    try:
        for row in rows:
            started, line = line, rows.line_num + 1
            if rows.line_num < head.line or not any(cell.strip() for cell in row):
                continue
            if header is None:
                names = [_column(name) for name in row]
                issues += _header_issues(names, file, started, columns)
                # None for a column with an issue, so that its cells do not repeat it
                header = [
                    name if name == "" or (name in columns and name not in names[:position]) else None
                    for position, name in enumerate(names)
                ]
            else:
                cells = row if head.separator == "," else [CommaCell(cell) for cell in row]
                entry = _entry(cells, header, file, started)
                if isinstance(entry, Node):
                    nodes.append(entry)
                else:
                    issues.append(entry)
    except csv.Error as error:
        issues.append(
            ConfigIssue(file, line, None, None, None, f"this is not CSV: {error}", "Look at the quotes from here on.")
        )
    return nodes, issues


def _column(name: str) -> str:
    plain = plain_name(name)
    return _UNDOTTED.get(plain, plain)


def _header_issues(header: Sequence[str], file: str, line: int, columns: Collection[str]) -> list[ConfigIssue]:
    def issue(column: str, message: str, hint: str) -> ConfigIssue:
        return ConfigIssue(file, line, None, column, None, message, hint)

    issues = [
        issue(name, "is not a known column", did_you_mean(name, sorted(columns), label="Columns"))
        for name in dict.fromkeys(header)
        if name and name not in columns
    ]
    issues += [
        issue(name, "stands twice in the header", "Keep one.")
        for name, count in Counter(header).items()
        if name and count > 1
    ]
    if "key" not in header:
        issues.append(issue("key", "is missing in the header", "The first line names the columns: key,account,…"))
    return issues


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
            # read as prompts between "|" it would be sent, and paid for, with its brackets
            raise _BadCell(column, "begins like a JSON list and is none", 'Write ["one", "two"] or one|two.') from error
        if not all(isinstance(item, str) for item in items):
            raise _BadCell(column, "is a list of more than texts", 'Write ["one", "two"] or one|two.')
    else:
        items = [part.strip() for part in cell.split("|")]
    return sequence([scalar(item, line) for item in items], line)
