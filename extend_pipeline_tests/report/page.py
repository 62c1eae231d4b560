"""Read a report as a browser does: its tables, its text, and every element with its attributes."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "rect", "path", "line"}
PROSE = {"p", "figcaption"}


class Page(HTMLParser):
    """A page that was parsed: `tables` holds the rows of texts by id, the head first; `elements` each tag with its
    attributes; `texts` what is read outside of styles; `sentences` the paragraphs and captions."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.sentences: list[str] = []
        self._rows: list[list[str]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    @classmethod
    def of(cls, path: Path) -> Page:
        return cls(path.read_text(encoding="utf-8"))

    @property
    def text(self) -> str:
        """Return the words of the page, with single spaces."""
        return " ".join(" ".join(self.texts).split())

    def body(self, table: str) -> list[list[str]]:
        """Return the rows of a table below its head."""
        return self.tables[table][1:]

    def cells(self, table: str, *columns: str) -> list[list[str]]:
        """Return the cells of a table's columns, by the words of its head."""
        head, *rows = self.tables[table]
        return [[row[head.index(column)] for column in columns] for row in rows]

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self._rows = self.tables[dict(attrs)["id"] or ""] = []
        elif tag in PROSE:
            self.sentences.append("")
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            return
        self.texts.append(data)
        if PROSE.intersection(self._open):
            self.sentences[-1] += data
        if "td" in self._open or "th" in self._open:
            self._rows[-1][-1] += data
