"""Read catalog.csv into the same nodes as YAML: a row for each video, dotted columns for nested fields."""

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from extend_pipeline.config.files.located import Node, mapping, sequence
from extend_pipeline.config.files.sheet import CommaCell, find_header, plain_name
from extend_pipeline.config.issues import ConfigIssue, did_you_mean

_UNDOTTED = {"branch_of": "source.branch_of", "hop": "source.hop"}
_LISTS = frozenset({"extend.prompts"})
_LIST_HINT = 'Write ["one", "two"] or one|two.'
# A field longer than this is refused by the csv module; an image of 10 MB in base64 is 13.4 million characters.
_MAX_CELL = 14_000_000


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
                issues += _header_issues(dict(zip(names, row, strict=True)), names, file, started, columns)
                if "key" not in names:  # each row would say so again
                    return [], issues
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
        issues.append(ConfigIssue(file, line, f"this is not CSV: {error}", "Look at the quotes from here on."))
    return nodes, issues


def _column(name: str) -> str:
    plain = plain_name(name)
    return _UNDOTTED.get(plain, plain)


def _header_issues(
    written: Mapping[str, str], header: Sequence[str], file: str, line: int, columns: Collection[str]
) -> list[ConfigIssue]:
    """Return the issues of a header of these columns. `written` are their names as the file has them."""
    issues = [
        (name, "is not a known column", did_you_mean(name, sorted(columns), label="Columns"))
        for name in dict.fromkeys(header)
        if name and name not in columns
    ]
    issues += [
        (name, "stands twice in the header", "Keep one.")
        for name, count in Counter(header).items()
        if name and count > 1
    ]
    if "key" not in header:
        issues.append(("key", "is missing in the header", "The first line names the columns: key,account,…"))
    return [
        ConfigIssue(file, line, message, hint, field=written.get(column, column).strip())
        for column, message, hint in issues
    ]


def _entry(row: Sequence[str], header: Sequence[str | None], file: str, line: int) -> Node | ConfigIssue:
    key = dict(zip(header, row, strict=False)).get("key") or None
    top: dict[str, tuple[int, Node]] = {}
    nested: dict[str, dict[str, tuple[int, Node]]] = {"source": {}, "extend": {}}
    for position, cell in enumerate(row):
        column = header[position] if position < len(header) else ""
        if cell == "" or column is None:
            continue
        if column == "":
            message, hint = "stands in a column without a name", "Quote cells that hold a separator."
            return ConfigIssue(file, line, message, hint, subject=key, given=cell)
        node = _list(cell, line) if column in _LISTS else Node(line, cell)
        if isinstance(node, str):
            return ConfigIssue(file, line, node, _LIST_HINT, subject=key, field=column, given=cell)
        group, dot, name = column.partition(".")
        if dot and group in nested:
            nested[group][name] = (line, node)
        else:
            top[column] = (line, node)
    top |= {group: (line, mapping(fields, line)) for group, fields in nested.items()}
    return mapping(top, line)


def _list(cell: str, line: int) -> Node | str:
    """Return the node of a list, or the message of a cell that begins like one and is none."""
    if cell.lstrip().startswith("["):
        try:
            items = json.loads(cell, parse_int=str, parse_float=str, parse_constant=str)
        except (ValueError, RecursionError):
            # read as prompts between "|" it would be sent, and paid for, with its brackets
            return "begins like a JSON list and is none"
        if not all(isinstance(item, str) for item in items):
            return "is a list of more than texts"
    else:
        items = [part.strip() for part in cell.split("|")]
    return sequence([Node(line, item) for item in items], line)
