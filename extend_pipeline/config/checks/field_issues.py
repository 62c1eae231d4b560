"""What a check between fields finds, before it is known where in the files they stand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldIssue:
    """A mistake at a path of written names, such as ("extend", "to"); `about_value` if what was given matters."""

    loc: tuple[str | int, ...]
    message: str
    hint: str
    about_value: bool = True
