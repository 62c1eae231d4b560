"""What a warehouse column is, and the exact conversions from the ledger's integers. No table is defined here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNITS: Final = "DECIMAL(18,6)"  # a quantity has at most twelve digits before the point, see base/units.py
AMOUNT: Final = "DECIMAL(20,6)"
SECONDS: Final = "DECIMAL(12,3)"  # milliseconds are exact in it, and a sum of them too


@dataclass(frozen=True, slots=True)
class Column:
    """One column: DuckDB type, one line for people, the ledger columns it comes from, and the SQL that makes it.

    `sources` are `ledger table.column`. Only they are read from the ledger, so a source left out makes a publish fail.
    """

    name: str
    type: str
    description: str
    sources: tuple[str, ...]
    sql: str


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table: `key` says which rows a change replaces; `rows` is the FROM clause that yields the changed rows, and
    `changed` the SELECT of the keys that are replaced."""

    name: str
    description: str
    key: str
    changed: str
    rows: str
    columns: tuple[Column, ...]


def decimal_of(expression: str, type_: str) -> str:
    """SQL for millionths as a decimal. A product of decimals is exact in DuckDB, a quotient is a DOUBLE."""
    return f"CAST(CAST({expression} AS DECIMAL(19,0)) * CAST('0.000001' AS DECIMAL(7,6)) AS {type_})"


def seconds_of(expression: str) -> str:
    """SQL for milliseconds as exact seconds."""
    return f"CAST(CAST({expression} AS DECIMAL(12,0)) * CAST('0.001' AS DECIMAL(4,3)) AS {SECONDS})"


def derived(name: str, type_: str, description: str, sql: str, *sources: str) -> Column:
    """Return a column made by an expression of its own."""
    return Column(name, type_, description, sources, sql)


def _plain(type_: str, source: str, description: str, name: str, sql: str) -> Column:
    return Column(name or source.partition(".")[2], type_, description, (source,), sql)


def text(source: str, description: str, *, name: str = "") -> Column:
    """Return text as it is; every id is text."""
    return _plain("VARCHAR", source, description, name, source)


def locator(source: str, description: str, *, name: str = "") -> Column:
    """Return an id as it is, or a URL without its query, which may be a signature: instead of it stands the beginning
    of the whole URL's SHA-256, so that what was equal stays equal and what was different stays different."""
    cut = f"regexp_extract({source}, '^[^?#]*') || '?sha256=' || substr(sha256({source}), 1, 12)"
    sql = f"CASE WHEN regexp_matches({source}, '^(?i:https?)://[^?#]*[?#]') THEN {cut} ELSE {source} END"
    return _plain("VARCHAR", source, description, name, sql)


def unsigned(source: str, description: str, *, name: str = "") -> Column:
    """Return a JSON document without the queries of the URLs in it."""
    sql = rf"""regexp_replace({source}, '((?i:https?)://[^\s"\\?#]*)[?#][^\s"\\]+', '\1?[query]', 'g')"""
    return _plain("VARCHAR", source, description, name, sql)


def integer(source: str, description: str, *, name: str = "") -> Column:
    """Return a whole number."""
    return _plain("BIGINT", source, description, name, source)


def flag(source: str, description: str, *, name: str = "") -> Column:
    """Yes or no."""
    return _plain("BOOLEAN", source, description, name, source)


def day(source: str, description: str, *, name: str = "") -> Column:
    """Return a calendar day of a time zone, kept as YYYY-MM-DD or YYYY-MM-DD[Zone] in the ledger (`base/days.py`)."""
    return _plain("DATE", source, description, name, f"CAST(regexp_replace({source}, '\\[.*\\]$', '') AS DATE)")


def zone_of_day(name: str, source: str, description: str) -> Column:
    """Return the time zone of such a day, by its IANA name."""
    named = f"regexp_extract({source}, '\\[(.*)\\]$', 1)"
    return derived(name, "VARCHAR", description, f"CASE {named} WHEN '' THEN 'UTC' ELSE {named} END", source)


def moment(source: str, description: str, *, name: str = "") -> Column:
    """Return a moment, from milliseconds of UTC."""
    return _plain("TIMESTAMPTZ", source, description, name, f"make_timestamptz({source} * 1000)")


def units(source: str, description: str, *, name: str = "") -> Column:
    """Return a quantity of units, from millionths."""
    return _plain(UNITS, source, description, name, decimal_of(source, UNITS))


def amount(source: str, description: str, *, name: str = "") -> Column:
    """Return an amount of money, from millionths of the currency."""
    return _plain(AMOUNT, source, description, name, decimal_of(source, AMOUNT))


def seconds(source: str, description: str, *, name: str = "") -> Column:
    """Return a length of film, from milliseconds."""
    return _plain(SECONDS, source, description, name, seconds_of(source))
