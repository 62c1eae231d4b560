"""No value is ever written into SQL: SQL that is put together as text holds only names of our own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import extend_pipeline

PACKAGE = Path(extend_pipeline.__file__).parent
SQL = re.compile(
    r"\b(SELECT\b.*\bFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|CREATE\s+(OR\s+REPLACE\s+)?"
    r"(TEMP\s+|UNIQUE\s+)?(TABLE|VIEW|INDEX)|ALTER\s+TABLE|DROP\s+TABLE|DESCRIBE|COMMENT\s+ON|ATTACH|PRAGMA|COPY|SET)\s"
    r"|\bIN\s+\(|\bCAST\(|\bSELECT\s*$",
    re.DOTALL,
)

_STARTS = (
    "SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "DESCRIBE", "COMMENT", "ATTACH", "PRAGMA",
    "COPY", "SET", "CAST", "STATE IN", "WITH",
)  # fmt: skip

# The allowed parts of SQL that is put together, by file: names and statements of our own constants.
OURS = {
    # a path of this machine, its quotes doubled: ATTACH takes no parameter
    "warehouse/staging_db.py": {
        "path", "schema.STORAGE_VERSION", "table.name", "table.changed", "names", "made", "table.rows",
        "name", "type_", "place", "rows", "values", "columns", "MEMORY", "ROW_COUNTS", "_DAY",
    },
    "warehouse/read.py": {"path", "name", "names", "column", "exact", "f'REPLACE ({exact})' if exact else ''"},
    "warehouse/definitions.py": {
        "table.name", "columns", "name", "body", "ROW_COUNTS", "_name(column.name)", "_quoted(about)",
        "_quoted(description)", "_quoted(table.description)", "_quoted(column.description)",
    },
    "warehouse/schema.py": {"CHANGED_VIDEOS"},
    "warehouse/rollups.py": {"CHANGED_ATTEMPTS", "CHANGED_VIDEOS"},
    "warehouse/columns.py": {"SECONDS", "expression", "source", "type_"},
    "dagster_defs/assets/tables.py": {"table.preview", "table.relation", "PREVIEW_ROWS"},
    "dagster_defs/checks/films.py": {"films"},
    # marks of parameters, and one of our own columns
    "config/memo/snapshot.py": {"column", "_marks(len(part))", "_marks(len(Entry._fields))"},
    "ledger/migrations/partial_indexes.py": {"_live_list"},
    "ledger/projection/state_rows.py": {"table.name", "columns", "values", "', '.join(keys)", "', '.join(changes)"},
    "sandbox/store/database.py": {"TABLES"},
    # the sandbox's own columns, when its state is of an older version
    "sandbox/store/schema.py": {"table", "column", "kind"},
}  # fmt: skip
FORMATTED = {("warehouse/schema.py", "_RECONCILIATION_ID.format('staged')")}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def put_together(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Yield texts that are made at run time and the expressions in them: f-strings, `%`, `+` and `format`."""
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr(values=values):
                constants = [part.value for part in values if isinstance(part, ast.Constant)]
                inside = [ast.unparse(part.value) for part in values if isinstance(part, ast.FormattedValue)]
                if inside:
                    yield "…".join(map(str, constants)), inside
            case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod() | ast.Add(), right=right):
                yield text, [ast.unparse(right)]
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format"), args=arguments):
                yield text, [ast.unparse(argument) for argument in arguments]
            case _:
                pass


def executed(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the first argument of every call that runs SQL."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("execute", "executemany", "executescript", "exec_driver_sql"):
                yield node.args[0]


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def statements(path: Path) -> list[tuple[str, list[str]]]:
    """Return the SQL that a module puts together, with the expressions in it."""
    made = put_together(ast.parse(path.read_text(encoding="utf-8")))
    return [(text, inside) for text, inside in made if SQL.search(text) and text.upper().startswith(_STARTS)]


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_sql_that_is_put_together_holds_names_of_our_own_only() -> None:
    unknown = []
    for path in modules():
        expressions = {inside for _, insides in statements(path) for inside in insides}
        allowed = OURS.get(relative(path), set()) | {text for name, text in FORMATTED if name == relative(path)}
        unknown += [f"{relative(path)}: {inside}" for inside in sorted(expressions - allowed)]
    assert unknown == [], "a value in SQL goes by parameter; a new name of our own is listed here"


def test_executed_sql_is_never_made_by_percent_or_plus() -> None:
    made = [
        f"{relative(path)}:{argument.lineno}"
        for path in modules()
        for argument in executed(ast.parse(path.read_text(encoding="utf-8")))
        for node in ast.walk(argument)
        if isinstance(node, ast.BinOp) and any(is_text(side) for side in (node.left, node.right))
    ]
    assert made == []


def test_the_scan_reports_every_way_to_put_sql_together() -> None:
    code = """
a = f"SELECT * FROM t WHERE x = '{value}'"
b = "DELETE FROM t WHERE x = '%s'" % value
c = "UPDATE t SET x = '{}'".format(value)
d = "INSERT INTO t VALUES (" + value
"""
    seen = [(text, inside) for text, inside in put_together(ast.parse(code)) if SQL.search(text)]
    assert sorted(inside for _, insides in seen for inside in insides) == ["value"] * 4
    assert {"warehouse/staging_db.py", "warehouse/read.py", "ledger/projection/state_rows.py"} <= {
        relative(path) for path in modules() if statements(path)
    }


def test_views_are_files_without_a_place_for_values() -> None:
    for path in (PACKAGE / "warehouse" / "views").glob("*.sql"):
        assert not re.search(r"\{\w*\}|%s|\$\w", path.read_text(encoding="utf-8")), path.name
