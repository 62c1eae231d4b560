"""The statements that make an empty warehouse from the schema and the views' files, and the digest that names them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from extend_pipeline.warehouse import schema

_VIEWS: Final = Path(__file__).parent / "views"


def views() -> dict[str, tuple[str, str]]:
    """Description (the first line of its .sql file) and SELECT of every view, by name. They are made in this order: a
    view may use those whose names come before its own."""
    found = {}
    for file in sorted(_VIEWS.glob("*.sql")):
        first, _, body = file.read_text(encoding="utf-8").partition("\n")
        found[file.stem] = (first.removeprefix("--").strip(), body.strip().removesuffix(";"))
    return found


def statements() -> list[str]:
    """Return the statements that make an empty warehouse, comments included."""
    made = []
    for table in schema.TABLES:
        listed = ", ".join(f"{_name(column.name)} {column.type}" for column in table.columns)
        made.append(f"CREATE TABLE {table.name} ({listed})")
        made.append(f"COMMENT ON TABLE {table.name} IS {_quoted(table.description)}")
        made += [
            f"COMMENT ON COLUMN {table.name}.{_name(column.name)} IS {_quoted(column.description)}"
            for column in table.columns
        ]
    listed = ", ".join(f"{name} {type_}" for name, type_, _ in schema.META_COLUMNS)
    made += [f"CREATE TABLE _meta ({listed})", "COMMENT ON TABLE _meta IS 'One row: how fresh this file is.'"]
    made += [f"COMMENT ON COLUMN _meta.{name} IS {_quoted(about)}" for name, _, about in schema.META_COLUMNS]
    for name, (description, body) in views().items():
        made += [f"CREATE VIEW {name} AS {body}", f"COMMENT ON VIEW {name} IS {_quoted(description)}"]
    return made


def schema_version() -> str:
    """Return a digest of everything that decides what stands in the file: a work file of another one is built anew."""
    made = [column.sql for table in schema.TABLES for column in table.columns]
    made += [f"{table.key} {table.changed} {table.rows}" for table in schema.TABLES]
    return hashlib.sha256("\n".join([schema.STORAGE_VERSION, *statements(), *made]).encode()).hexdigest()[:16]


def _name(column: str) -> str:
    return f'"{column}"'


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
