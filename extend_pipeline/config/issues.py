"""A mistake in what the user wrote, told so that it can be mended; and the error that carries all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from extend_pipeline.base.userinfo import hide_to_last_at

ACCOUNTS_FILE = "accounts.yaml"
_SHOWN = 60  # characters of a wrong value that are repeated: enough to recognise a prompt, never all of it


@dataclass(frozen=True)
class ConfigIssue:
    """One mistake. `subject` is the video key (in accounts.yaml the name), `field` is dotted, `line` counts from 1.

    `message` continues the sentence that `given` begins ("1.5" + "is above 1"); `hint` says what would do.
    """

    file: str
    line: int | None
    subject: str | None
    field: str | None
    given: str | None
    message: str
    hint: str

    def text(self) -> str:
        """Return one readable line: file, line, subject, field, what is wrong, what would do."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        parts = [where]
        if self.subject is not None:
            kind = "account" if self.file == ACCOUNTS_FILE else "video"
            parts.append(f"{kind} {_visible(_cut(self.subject))}")
        if self.field is not None:
            parts.append(_visible(_cut(self.field)))
        sentence = self.message if self.given is None else f"{shorten_value(self.given)} {self.message}"
        if sentence[-1:] not in (".", "?", "!"):
            sentence += "."
        return ": ".join([*parts, _visible(f"{sentence} {self.hint}".strip())])


class ConfigError(Exception):
    """What the user wrote can't be used. `problems` holds every mistake of every file; `str()` prints one a line."""

    def __init__(self, problems: Iterable[ConfigIssue]) -> None:
        self.problems: tuple[ConfigIssue, ...] = tuple(sorted(problems, key=lambda p: (p.file, p.line or 0)))
        super().__init__("\n".join(problem.text() for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[ConfigIssue, ...]]]:
        return type(self), (self.problems,)


def shorten_value(value: str) -> str:
    """Return a value as it is repeated to its writer: cut short, control characters visible, quoted unless it is one
    word. An address is shown without what stands before its host, since that may be a password."""
    cut = _cut(hide_to_last_at(value))
    return cut if cut.isprintable() and cut and " " not in cut else f'"{_visible(cut)}"'


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class Suggestions:
    """Finds the nearest known name, at a bounded total cost: comparing every key with every typo would be quadratic."""

    def __init__(self, known: Iterable[str], *, most: int = 25) -> None:
        self._known = list(known)
        self._left = most
        self._found: dict[str, str | None] = {}

    def nearest(self, name: str) -> str | None:
        """Return the known name most like this one, or None. After `most` different questions always None."""
        if name not in self._found:
            if self._left <= 0 or len(name) > 200:
                return None
            self._left -= 1
            self._found[name] = _nearest(name, self._known)
        return self._found[name]


def did_you_mean(name: str, known: Iterable[str], *, label: str) -> str:
    """Return a hint that names the nearest known name, and all of them where there are few."""
    names = list(known)
    near = _nearest(name, names)
    if near is not None:
        return f'Did you mean "{near}"?'
    return f"{label}: {', '.join(names)}." if names else ""


def _nearest(name: str, known: list[str]) -> str | None:
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
