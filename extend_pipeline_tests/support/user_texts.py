"""Compare texts for users with the golden file `extend_pipeline_tests/golden/user_texts.json`.

A test asserts codes, types and values; where the wording matters too, it passes the text to `check_user_text`. The
file has each test's texts, in which a word replaces parts that differ from run to run (folders, ports, times, digests).
After a change of wording, `make texts` writes it anew, and the difference is read in review.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Final

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "user_texts.json"
WRITE: Final = "EXTEND_PIPELINE_WRITE_TEXTS"
"""Where it is set, texts are recorded instead of compared; it names the file that the processes of one run share."""

_VARYING: Final = (
    (re.compile(re.escape(tempfile.gettempdir()) + r"/[^\s'\",:;)]*"), "DIR"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}:\d+|\blocalhost:\d+"), "HOST:PORT"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC|Z|[+-]\d\d:\d\d)?"), "TIME"),
    (re.compile(r"(?m)^\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12,}\b"), "DIGEST"),
    (re.compile(r"\b\d{6,}\b"), "NUMBER"),
    (re.compile(r"\bfor \d+ (?:s|minutes?)\b"), "for AGE"),
    (re.compile(r"\b\d+ minutes left\b"), "MINUTES left"),
    (re.compile(r"\b\d+\.\d [KMGT]iB free\b"), "SPACE free"),
)


def check_user_text(text: str, *, without: dict[str, str] | None = None) -> None:
    """Assert that a text is one that the golden file has for the running test.

    `without` maps other parts that differ from run to run (a task's id, a random price) to the words that replace them.
    """
    for value, word in (without or {}).items():
        text = text.replace(value, word)
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    test = _running_test()
    if recording := os.environ.get(WRITE):
        _record(Path(recording), test, text)
        return
    known = json.loads(GOLDEN.read_text(encoding="utf-8")).get(test, [])
    assert text in known, f"a text that the golden file lacks for {test} (make texts writes it anew): {text!r}"


def line_with(text: str, marker: str) -> str:
    """Return the one line of a text that has the marker, without space at its ends."""
    lines = [line.strip() for line in text.splitlines() if marker in line]
    assert len(lines) == 1, f"{len(lines)} lines have {marker!r}: {text}"
    return lines[0]


def write_golden(recording: Path) -> None:
    """Replace the golden file's texts of each recorded test with the recorded ones."""
    lines = recording.read_text(encoding="utf-8").splitlines() if recording.exists() else []
    texts: dict[str, set[str]] = {}
    for line in lines:
        test, text = json.loads(line)
        texts.setdefault(test, set()).add(text)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    golden |= {test: sorted(recorded) for test, recorded in texts.items()}
    text = json.dumps(golden, ensure_ascii=False, indent=1, sort_keys=True)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


def _running_test() -> str:
    """Return the running test as MODULE::TEST, without its parameters."""
    path, _, test = os.environ["PYTEST_CURRENT_TEST"].partition("::")
    return f"{path.removeprefix('extend_pipeline_tests/')}::{test.split('[')[0].split(' ')[0]}"


def _record(recording: Path, test: str, text: str) -> None:
    with recording.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps([test, text], ensure_ascii=False) + "\n")
