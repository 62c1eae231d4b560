"""What `doctor` finds: one line each, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is. Only a problem keeps the work from being done."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `todo` is empty where nothing needs doing."""

    level: Level
    check: str
    message: str
    todo: str = ""


def ok(check: str, message: str) -> Finding:
    """Return all is well with this."""
    return Finding(Level.OK, check, message)


def warning(check: str, message: str, todo: str) -> Finding:
    """Work goes on, but somebody should know."""
    return Finding(Level.WARNING, check, message, todo)


def problem(check: str, message: str, todo: str) -> Finding:
    """Work can't go on, or not rightly."""
    return Finding(Level.PROBLEM, check, message, todo)
