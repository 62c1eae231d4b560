"""Reads a file of the user's as UTF-8 text, or says why it can't be read."""

from __future__ import annotations

from pathlib import Path

from extend_pipeline.config.problems import Problem


def read_text(path: Path) -> str | Problem:
    """The text of a file without its byte order mark, line ends as written; or the problem with it."""
    try:
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return _problem(path, None, f"the file can't be read: {reason}", f"Look at {path}.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
            return _problem(path, 1, "the file is UTF-16", "Save it as UTF-8.")
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{raw[error.start]:02X} is not UTF-8"
        return _problem(path, line, found, "Save the file as UTF-8.")
    if not text.strip():
        return _problem(path, 1, "the file is empty", "`extend-pipeline init` writes an example.")
    return text


def is_there(path: Path) -> bool:
    """Return whether something has this name. A folder that may not be looked into counts as holding it: reading tells
    why it can't be read."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def is_file(path: Path) -> bool:
    """Return whether this is a file that can be looked at."""
    try:
        return path.is_file()
    except OSError:
        return False


def missing(path: Path, *, what: str, misnamed: tuple[str, ...]) -> Problem:
    """The problem of a file that is not there, and how to come by one."""
    for name in misnamed:
        if path.with_name(name).exists():
            return _problem(path, None, f"there is no such file, only {name}", f"Rename it to {path.name}.")
    return _problem(
        path,
        None,
        f"there is no {what} in {path.parent}",
        "`extend-pipeline init` writes an example; or name another home with --home or EXTEND_PIPELINE_HOME.",
    )


def _problem(path: Path, line: int | None, message: str, hint: str) -> Problem:
    return Problem(path.name, line, None, None, None, message, hint)
