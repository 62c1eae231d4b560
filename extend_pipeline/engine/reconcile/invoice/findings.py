"""Collect the issues and notes of an invoice while it is read."""

from dataclasses import dataclass, field, replace
from typing import Final

from extend_pipeline.config.issues import ConfigIssue

_MAX_ISSUES: Final = 100  # an operator who has fixed so many will read the file again anyway
_MAX_LINES_NAMED: Final = 5


@dataclass(slots=True)
class Findings:
    """Issues and notes of one file, each once for all the lines that it concerns."""

    file: str
    _issues: dict[tuple[str | None, str | None, str], tuple[ConfigIssue, int]] = field(default_factory=dict)
    _notes: dict[str, list[int]] = field(default_factory=dict)

    def add(self, line: int | None, column: str | None, cell: str | None, message: str, hint: str) -> None:
        """Add an issue; the same one on other lines is counted."""
        issue, count = self._issues.get(
            (column, cell, message), (ConfigIssue(self.file, line, message, hint, field=column, given=cell), 0)
        )
        self._issues[column, cell, message] = (issue, count + 1)

    def note(self, text: str, line: int | None = None) -> None:
        """Add a note on what was done with a line, or on the whole file where `line` is None."""
        self._notes.setdefault(text, []).extend(() if line is None else (line,))

    def has_noted(self, text: str) -> bool:
        """Return whether this note was added."""
        return text in self._notes

    def issues(self) -> tuple[ConfigIssue, ...]:
        """Return the issues in the order of lines, at most a hundred."""
        issues = [
            issue if count == 1 else replace(issue, message=f"{issue.message} (so on {count} lines)")
            for issue, count in self._issues.values()
        ]
        issues.sort(key=lambda issue: issue.line or 0)
        if len(issues) > _MAX_ISSUES:
            more = f"{len(issues) - _MAX_ISSUES} more mistakes are in the file"
            issues[_MAX_ISSUES:] = [ConfigIssue(self.file, None, more, "Fix these first.")]
        return tuple(issues)

    def notes(self) -> tuple[str, ...]:
        """Return sentences that name the file and a few of the lines; what holds for the whole file comes first."""
        texts = []
        for text, lines in sorted(self._notes.items(), key=lambda note: bool(note[1])):
            named = ", ".join(str(line) for line in lines[:_MAX_LINES_NAMED])
            more = f" and {len(lines) - _MAX_LINES_NAMED} more" if len(lines) > _MAX_LINES_NAMED else ""
            texts.append(f"{self.file}: {text} (line {named}{more})." if lines else f"{self.file}: {text}.")
        return tuple(texts)
