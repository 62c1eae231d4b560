"""Issues in the files of a home, with what to write instead; and the error that holds all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

from extend_pipeline.base.userinfo import hide_to_last_at

ACCOUNTS_FILE = "accounts.yaml"
_MAX_SHOWN = 60  # characters of a value in a message: enough to recognise a prompt


@dataclass(frozen=True)
class FieldIssue:
    """A mistake at a path of written names, such as ("extend", "to"), before its file and line are known. `about_value`
    is False if the message does not continue a sentence about the value."""

    loc: tuple[str | int, ...]
    message: str
    hint: str
    about_value: bool = True


@dataclass(frozen=True)
class ConfigIssue:
    """One mistake. `subject` is the video key (in accounts.yaml the name), `field` is dotted, `line` counts from 1.

    `given` is the value, if it may be shown; `message` continues it ("1.5" + "is above 1"). `hint` is what to write.
    """

    file: str
    line: int | None
    message: str
    hint: str
    _: KW_ONLY
    subject: str | None = None
    field: str | None = None
    given: str | None = None

    def text(self) -> str:
        """Return one line of text: file, line, subject, field, value, message and hint."""
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
    """The files can't be used. `problems` holds the issues of all files; `str()` prints one a line."""

    def __init__(self, problems: Iterable[ConfigIssue]) -> None:
        self.problems: tuple[ConfigIssue, ...] = tuple(sorted(problems, key=lambda p: (p.file, p.line or 0)))
        super().__init__("\n".join(problem.text() for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[ConfigIssue, ...]]]:
        return type(self), (self.problems,)


def shorten_value(value: str) -> str:
    """Return a value for a message: cut short, control characters escaped, quoted unless it is a single word. The
    userinfo of an address is hidden, because it may be a password."""
    cut = _cut(hide_to_last_at(value))
    return cut if cut.isprintable() and cut and " " not in cut else f'"{_visible(cut)}"'


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class Suggestions:
    """Suggest known names for unknown ones, for the first `max_names` unknown names only, because comparing every
    unknown name with every key takes quadratic time."""

    def __init__(self, known: Iterable[str], *, max_names: int = 25) -> None:
        self._known = list(known)
        self._left = max_names
        self._nearest: dict[str, str | None] = {}

    def hint(self, name: str, otherwise: str) -> str:
        """Return a hint with the known name that is most similar; `otherwise` if there is none."""
        if name not in self._nearest:
            if self._left <= 0 or len(name) > 200:
                return otherwise
            self._left -= 1
            self._nearest[name] = nearest(name, self._known)
        near = self._nearest[name]
        return otherwise if near is None else f'Did you mean "{near}"?'


def did_you_mean(name: str, known: Iterable[str], *, label: str = "") -> str:
    """Return a hint with the most similar known name, or else with all of them after `label`; empty without a label."""
    names = list(known)
    near = nearest(name, names)
    if near is not None:
        return f'Did you mean "{near}"?'
    return f"{label}: {', '.join(names)}." if names and label else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar; None if none is similar."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None
