"""What is to be told of an invoice: mistakes and notes, each once, however many lines they concern."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline.engine.reconcile.invoice.cells import BadCell

_MAX_ISSUES: Final = 100  # mistakes; who has mended so many will run it again anyway
_LINES_NAMED: Final = 5


@dataclass(slots=True)
class Told:
    """Gathers while a file is read."""

    file: str
    problems: dict[tuple[str | None, str | None, str], tuple[ConfigIssue, int]] = field(default_factory=dict)
    _lines: dict[str, list[int]] = field(default_factory=dict)
    _once: dict[str, None] = field(default_factory=dict)

    def problem(self, line: int | None, column: str | None, given: str | None, message: str, hint: str) -> None:
        """A mistake; the same one on other lines is counted."""
        first = ConfigIssue(self.file, line, None, column, given, message, hint)
        known, count = self.problems.get((column, given, message), (first, 0))
        self.problems[column, given, message] = (known, count + 1)

    def bad(self, line: int, column: str | None, given: str, wrong: BadCell) -> None:
        """A cell that can't be used."""
        self.problem(line, column, given, wrong.message, wrong.hint)

    def note_line(self, what: str, line: int) -> None:
        """Something that was done with a line; told once for all of them."""
        self._lines.setdefault(what, []).append(line)

    def has_noted(self, what: str) -> bool:
        """Whether that was done with any line."""
        return what in self._lines

    def note_once(self, what: str) -> None:
        """Something that holds for the whole file."""
        self._once[what] = None

    def all_problems(self) -> tuple[ConfigIssue, ...]:
        """Every mistake in the order of lines, the same one on several lines once; a hundred at most."""
        found = [
            known if count == 1 else replace(known, message=f"{known.message} (so on {count} lines)")
            for known, count in self.problems.values()
        ]
        found.sort(key=lambda problem: problem.line or 0)
        if len(found) > _MAX_ISSUES:
            more = f"{len(found) - _MAX_ISSUES} more mistakes are in the file"
            found[_MAX_ISSUES:] = [ConfigIssue(self.file, None, None, None, None, more, "Mend these first.")]
        return tuple(found)

    def all_notes(self) -> tuple[str, ...]:
        """Sentences that name the file, and a few of the lines."""
        notes = [f"{self.file}: {what}." for what in self._once]
        for what, lines in self._lines.items():
            named = ", ".join(str(line) for line in lines[:_LINES_NAMED])
            more = f" and {len(lines) - _LINES_NAMED} more" if len(lines) > _LINES_NAMED else ""
            notes.append(f"{self.file}: {what} (line {named}{more}).")
        return tuple(notes)
