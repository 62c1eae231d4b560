"""The types that describe a warehouse table, and the exact conversions from the ledger's integers. No table is defined
here."""

import json
from dataclasses import dataclass
from typing import Final

UNITS: Final = "DECIMAL(18,6)"  # at most twelve digits before the point, see base/units.py
AMOUNT: Final = "DECIMAL(20,6)"
SECONDS: Final = "DECIMAL(12,3)"  # holds milliseconds and their sums exactly


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its DuckDB type, a line of description, the ledger columns that it is computed from, and its SQL.

    `sources` are `ledger table.column`. Only they are read from the ledger, so a missing source makes a publish fail.
    Those of a view's column are columns of the warehouse.
    """

    name: str
    type: str
    description: str
    sources: tuple[str, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table: `changed` is the condition of the rows that a change replaces, `rows` is the FROM clause of the rows
    that take their place, and `key` is the column in which no two rows are equal, if there is one."""

    name: str
    description: str
    changed: str
    rows: str
    columns: tuple[Column, ...]
    key: str = ""


def decimal_of(expression: str, type_: str) -> str:
    """Return SQL for millionths as a decimal. A product of decimals is exact in DuckDB, a quotient is a DOUBLE."""
    return f"CAST(CAST({expression} AS DECIMAL(19,0)) * CAST('0.000001' AS DECIMAL(7,6)) AS {type_})"


def seconds_of(expression: str) -> str:
    """Return SQL for milliseconds as exact seconds."""
    return f"CAST(CAST({expression} AS DECIMAL(12,0)) * CAST('0.001' AS DECIMAL(4,3)) AS {SECONDS})"


def derived(name: str, type_: str, description: str, sql: str, *sources: str) -> Column:
    """Return a column with an SQL expression of its own."""
    return Column(name, type_, description, sources, sql)


def of_view(name: str, type_: str, description: str, *sources: str) -> Column:
    """Return a column of a view, which its own .sql file computes from columns of a table (`table.column`)."""
    return Column(name, type_, description, sources, name)


def _plain(type_: str, source: str, description: str, name: str, sql: str) -> Column:
    return Column(name or source.partition(".")[2], type_, description, (source,), sql)


def text(source: str, description: str, *, name: str = "") -> Column:
    """Return a text column; every id is text."""
    return _plain("VARCHAR", source, description, name, source)


def locator(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of ids or URLs. A URL's query, which may be a signature, is replaced by the beginning of the
    whole URL's SHA-256, so that equal URLs stay equal and different ones different."""
    cut = f"regexp_extract({source}, '^[^?#]*') || '?sha256=' || substr(sha256({source}), 1, 12)"
    sql = f"CASE WHEN regexp_matches({source}, '^(?i:https?)://[^?#]*[?#]') THEN {cut} ELSE {source} END"
    return _plain("VARCHAR", source, description, name, sql)


def prompt(source: str, description: str) -> Column:
    """Return the column of the prompts in extensions' parameters, as `prompt_of` returns them.

    DuckDB takes no escape of half a character, so only whole pairs of them stay, while escaped backslashes are hidden.
    No JSON document holds the signs 1 and 2 that stand for both meanwhile.
    """
    hidden = f"replace({source}, '\\\\', chr(1))"
    pairs = r"'\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)', chr(2) || '\1' || chr(2) || '\2'"
    halves = rf"regexp_replace(regexp_replace({hidden}, {pairs}, 'g'), '\\u[dD][89a-fA-F]..', '?', 'g')"
    valid = rf"replace(replace({halves}, chr(2), '\u'), chr(1), '\\')"
    document = rf"CASE WHEN regexp_matches({source}, '\\u[dD]') THEN {valid} ELSE {source} END"
    return derived("prompt", "VARCHAR", description, f"json_extract_string({document}, '$.prompt')", source)


def prompt_of(params: str) -> str | None:
    """Return the prompt in an extension's parameters. Lone surrogates, which a UTF-8 file can't hold, become question
    marks."""
    value = json.loads(params).get("prompt")
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def unsigned(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of JSON documents without the queries of the URLs in them."""
    sql = rf"""regexp_replace({source}, '((?i:https?)://[^\s"\\?#]*)[?#][^\s"\\]+', '\1?[query]', 'g')"""
    return _plain("VARCHAR", source, description, name, sql)


def integer(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of whole numbers."""
    return _plain("BIGINT", source, description, name, source)


def flag(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of booleans."""
    return _plain("BOOLEAN", source, description, name, source)


def day(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of calendar days, stored as YYYY-MM-DD or YYYY-MM-DD[Zone] in the ledger (`base/days.py`)."""
    return _plain("DATE", source, description, name, f"CAST(regexp_replace({source}, '\\[.*\\]$', '') AS DATE)")


def zone_of_day(name: str, source: str, description: str) -> Column:
    """Return a column of such days' time zones, by IANA name."""
    zone = f"regexp_extract({source}, '\\[(.*)\\]$', 1)"
    return derived(name, "VARCHAR", description, f"CASE {zone} WHEN '' THEN 'UTC' ELSE {zone} END", source)


def moment(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of times, from milliseconds of UTC."""
    return _plain("TIMESTAMPTZ", source, description, name, f"make_timestamptz({source} * 1000)")


def units(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of units, from millionths."""
    return _plain(UNITS, source, description, name, decimal_of(source, UNITS))


def amount(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of amounts of money, from millionths of the currency."""
    return _plain(AMOUNT, source, description, name, decimal_of(source, AMOUNT))


def seconds(source: str, description: str, *, name: str = "") -> Column:
    """Return a column of film lengths in seconds, from milliseconds."""
    return _plain(SECONDS, source, description, name, seconds_of(source))
