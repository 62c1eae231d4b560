"""Read files as text: UTF-8, or UTF-16 with a byte order mark."""

import codecs
import re
from datetime import datetime
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

from extend_pipeline.base.disk import file_mark
from extend_pipeline.config.issues import ConfigIssue

UNSETTLED_S: Final = 10
"""For so long after a write, a program that writes slowly may go on."""

EMPTY: Final = ("the file is empty", "Fill it; or remove it, then `extend-pipeline init` writes an example.")
"""Message and hint of a file without content."""

_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .xls begin
_CONFLICT: Final = re.compile(r"^(?:<{7}|>{7})(?: .*)?\r?$", re.MULTILINE)


def read_text(path: Path) -> str | ConfigIssue:
    """Return the text of a file without its byte order mark and with its line ends, or the issue."""
    raw = read_bytes(path, path.name)
    return raw if isinstance(raw, ConfigIssue) else decode(raw, path.name)


def read_bytes(path: Path, file: str) -> bytes | ConfigIssue:
    """Return the bytes of a file, or the issue. `file` is its name in issues."""
    try:
        mode = path.stat().st_mode
        if not S_ISREG(mode) and not S_ISDIR(mode):  # a pipe would be waited for; a folder has a reason of its own
            return ConfigIssue(file, None, "is no regular file", "Put a file with text in its place.")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return ConfigIssue(file, None, f"the file can't be read: {reason}", f"Look at {path}.")


def decode(raw: bytes, file: str) -> str | ConfigIssue:
    """Return the text of a file's bytes, or the issue. UTF-16 is read, because spreadsheets save it as "Unicode
    text"."""
    if raw.startswith(_WORKBOOKS):
        return ConfigIssue(file, None, "this is an Excel workbook", "Save it as CSV UTF-8.")
    encoding = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        name = "UTF-16, which its first bytes say it is" if encoding == "utf-16" else "UTF-8"
        return ConfigIssue(file, line, f"the byte 0x{raw[error.start]:02X} is not {name}", "Save the file as UTF-8.")
    if any(raw[:4]) and b"\0\0" in (raw[0:4:2], raw[1:4:2]):
        return ConfigIssue(file, 1, "the file is UTF-16 without the mark that says so", "Save it as UTF-8.")
    if not text.strip():
        return ConfigIssue(file, 1, *EMPTY)
    if "\0" in text:  # what a disk gives for what a crash kept from being written
        message = "the file holds NUL bytes from here on: its end was not written"
        return ConfigIssue(file, _line_at(text, text.index("\0")), message, "Save it again, or take an earlier copy.")
    if conflict := _CONFLICT.search(text):
        hint = "Keep what is right, and remove the lines with the marks."
        return ConfigIssue(file, _line_at(text, conflict.start()), "a merge conflict is left here", hint)
    return text


def _line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def is_there(path: Path) -> bool:
    """Return whether a file or folder exists. True if its folder can't be searched, so that reading it reports why."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def is_fresh(path: Path, *, now: datetime) -> bool:
    """Return whether a file was written a moment ago. `now` is aware. A date far after it is that of a wrong clock, and
    not fresh, because it would be for long."""
    mark = file_mark(path)
    return mark is not None and abs(now.timestamp() - mark[0] / 1e9) < UNSETTLED_S


def is_file(path: Path) -> bool:
    """Return whether this is a file whose folder can be searched."""
    try:
        return path.is_file()
    except OSError:
        return False


def missing(path: Path, *, what: str, misnamed: tuple[str, ...] = ()) -> ConfigIssue:
    """Return the issue of a file that does not exist."""
    for name in misnamed:
        if path.with_name(name).exists():
            return ConfigIssue(path.name, None, f"there is no such file, only {name}", f"Rename it to {path.name}.")
    return ConfigIssue(
        path.name,
        None,
        f"there is no {what} in {path.parent}",
        "`extend-pipeline init` writes an example; or name another home with --home or EXTEND_PIPELINE_HOME.",
    )
