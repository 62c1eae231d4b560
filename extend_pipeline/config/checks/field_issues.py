"""An issue of a field, before its file and line are known."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldIssue:
    """A mistake at a path of written names, such as ("extend", "to"). `about_value` is False if the message does not
    continue a sentence about the value."""

    loc: tuple[str | int, ...]
    message: str
    hint: str
    about_value: bool = True
