"""The SQL that creates an empty warehouse from the schema and the views' files, and its digest."""

import hashlib
from pathlib import Path
from typing import Final

from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.rollups import ROLLUPS, ROW_COUNTS

_VIEWS: Final = Path(__file__).parent / "views"


def views() -> dict[str, tuple[str, str]]:
    """Return description (the first line of its .sql file) and SELECT of every view, by name. They are created in this
    order: a view may use those whose names come before its own."""
    definitions = {}
    for file in sorted(_VIEWS.glob("*.sql")):
        first, _, body = file.read_text(encoding="utf-8").partition("\n")
        definitions[file.stem] = (first.removeprefix("--").strip(), body.strip().removesuffix(";"))
    return definitions


def statements() -> list[str]:
    """Return the statements that create an empty warehouse, comments included."""
    created = []
    for table in (*schema.TABLES, *ROLLUPS):
        columns = ", ".join(f"{_name(column.name)} {column.type}" for column in table.columns)
        created.append(f"CREATE TABLE {table.name} ({columns})")
        created.append(f"COMMENT ON TABLE {table.name} IS {_quoted(table.description)}")
        created += [
            f"COMMENT ON COLUMN {table.name}.{_name(column.name)} IS {_quoted(column.description)}"
            for column in table.columns
        ]
    columns = ", ".join(f"{name} {type_}" for name, type_, _ in schema.META_COLUMNS)
    created += [f"CREATE TABLE _meta ({columns})", "COMMENT ON TABLE _meta IS 'One row: how fresh this file is.'"]
    created += [
        f"CREATE TABLE {ROW_COUNTS} (table_name VARCHAR, row_count BIGINT)",
        f"COMMENT ON TABLE {ROW_COUNTS} IS 'Rows of each table when it was published.'",
        f"COMMENT ON COLUMN {ROW_COUNTS}.table_name IS 'name of the table'",
        f"COMMENT ON COLUMN {ROW_COUNTS}.row_count IS 'its rows'",
    ]
    created += [f"COMMENT ON COLUMN _meta.{name} IS {_quoted(about)}" for name, _, about in schema.META_COLUMNS]
    for name, (description, body) in views().items():
        created += [f"CREATE VIEW {name} AS {body}", f"COMMENT ON VIEW {name} IS {_quoted(description)}"]
    return created


def schema_version() -> str:
    """Return a digest of everything that the file's contents depend on. A staging file with another digest is
    rebuilt."""
    filled = (*schema.TABLES, *ROLLUPS)
    sql = [column.sql for table in filled for column in table.columns]
    sql += [f"{table.changed} {table.rows}" for table in filled]
    return hashlib.sha256("\n".join([schema.STORAGE_VERSION, *statements(), *sql]).encode()).hexdigest()[:16]


def _name(column: str) -> str:
    return f'"{column}"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
