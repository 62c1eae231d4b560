"""The findings of `doctor`: one line each, with what to do."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """Severity of a finding. Only a problem stops the work."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check. `todo` is empty if nothing needs to be done."""

    level: Level
    check: str
    message: str
    todo: str = ""


def ok(check: str, message: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(Level.OK, check, message)


def warning(check: str, message: str, todo: str) -> Finding:
    """Return a finding that doesn't stop the work, and that the operator should know."""
    return Finding(Level.WARNING, check, message, todo)


def problem(check: str, message: str, todo: str) -> Finding:
    """Return a finding with which work stops, or gives wrong results."""
    return Finding(Level.PROBLEM, check, message, todo)
