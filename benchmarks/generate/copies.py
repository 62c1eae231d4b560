"""Copies of a recorded history: the same rows with another video's names, times and event numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

from benchmarks.generate.history import FIRST_MS, FIRST_SEQ, History
from benchmarks.generate.names import VideoNames
from extend_pipeline.ledger import tables

_TIMES: Final = range(1_700_000_000_000, 1_800_000_000_000)
_SEQS: Final = range(FIRST_SEQ, FIRST_SEQ + 1_000_000)
_NUMBERS: Final = r"\b17\d{11}\b|\b880\d{6}\b"
"""Times and event numbers inside of texts, as both ranges have them."""

Fill = Callable[[Sequence[Any]], Any]
"""From a video's own texts, what is added to times and what is added to event numbers, to a value."""

_LATER: Final = -2
_AFTER: Final = -1

SUMMED: Final = {"accounts": ("committed_micros", "in_flight"), "account_days": ("committed_micros",)}
"""Tables whose rows several videos share, and their sums. What is no sum is the last video's."""


class Copier:
    """Fills the rows of one recorded history for other videos."""

    def __init__(self, history: History) -> None:
        texts = history.names.texts()
        self._places = {text: place for place, text in enumerate(texts)}
        longest_first = sorted(map(re.escape, texts), key=len, reverse=True)
        self._own = re.compile("|".join([*longest_first, _NUMBERS]))
        self.events = history.events
        self._tables = {
            name: [(list(row), self._fills(row)) for row in rows] for name, rows in history.rows.items() if rows
        }

    def copy(self, names: VideoNames, *, began_ms: int, after_seq: int) -> dict[str, list[list[Any]]]:
        """Return the rows by table of a video whose history began at `began_ms` (UTC ms) with event `after_seq` + 1."""
        video = [*names.texts(), began_ms - FIRST_MS, after_seq - FIRST_SEQ]
        copies: dict[str, list[list[Any]]] = {}
        for name, recorded in self._tables.items():
            copies[name] = rows = []
            for row, fills in recorded:
                filled = row.copy()
                for place, fill in fills:
                    filled[place] = fill(video)
                rows.append(filled)
        return copies

    def _fills(self, row: Sequence[Any]) -> list[tuple[int, Fill]]:
        return [(place, fill) for place, value in enumerate(row) if (fill := self._fill(value)) is not None]

    def _fill(self, value: Any) -> Fill | None:
        """Return how a value follows from the video; None where it is the same for all."""
        if isinstance(value, int):
            added = _LATER if value in _TIMES else _AFTER if value in _SEQS else None
            return None if added is None else lambda video: value + video[added]
        if not isinstance(value, str) or self._own.search(value) is None:
            return None
        if value in self._places:
            return itemgetter(self._places[value])
        parts: list[Fill] = []
        end = 0
        for match in self._own.finditer(value):
            parts += [_same(value[end : match.start()]), self._part(match.group())]
            end = match.end()
        parts.append(_same(value[end:]))
        return lambda video: "".join([part(video) for part in parts])

    def _part(self, text: str) -> Fill:
        if text in self._places:
            return itemgetter(self._places[text])
        number = int(text)
        added = _LATER if number in _TIMES else _AFTER
        return lambda video: str(number + video[added])


def _same(text: str) -> Fill:
    return lambda _video: text


class SharedRows:
    """Adds up the rows that several videos share."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {name: {} for name in SUMMED}

    def add(self, name: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add one video's rows of one of the tables SUMMED."""
        table = tables.metadata.tables[name]
        for values in rows:
            row = dict(zip(table.columns.keys(), values, strict=True))
            key = tuple(row[column.name] for column in table.primary_key)
            before = self._rows[name].get(key, {})
            self._rows[name][key] = row | {sum_: row[sum_] + before.get(sum_, 0) for sum_ in SUMMED[name]}

    def rows(self) -> dict[str, list[list[Any]]]:
        """Return the sums, by table."""
        return {name: [list(row.values()) for row in by_key.values()] for name, by_key in self._rows.items()}
