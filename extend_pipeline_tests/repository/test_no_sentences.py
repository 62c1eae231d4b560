"""No test asserts an English sentence: codes, types and values are asserted, and words are in the golden file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

TESTS: Final = Path(__file__).parents[1]

_SQL: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH ", "CREATE")
_WORD: Final = re.compile(r"[A-Za-z']{2,}")


def is_sentence(value: object) -> bool:
    """Return whether a literal is text of three words or more, other than SQL."""
    if not isinstance(value, str) or " " not in value.strip() or value.strip().upper().startswith(_SQL):
        return False
    return len(_WORD.findall(value)) >= 3


def sentences(code: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each sentence that an `assert` or a `match=` compares with."""
    for node in ast.walk(ast.parse(code)):
        compared: list[ast.expr] = []
        if isinstance(node, ast.Assert):
            compared = [node.test]
        elif isinstance(node, ast.Call):
            compared = [keyword.value for keyword in node.keywords if keyword.arg == "match"]
        for part in (part for expression in compared for part in ast.walk(expression)):
            if isinstance(part, ast.Constant) and is_sentence(part.value):
                yield part.lineno, str(part.value)


def test_no_test_asserts_a_sentence() -> None:
    paths = TESTS.rglob("*.py")
    asserted = [
        f"{path.relative_to(TESTS)}:{line}: {text!r}"
        for path in sorted(paths)
        for line, text in sentences(path.read_text(encoding="utf-8"))
    ]
    assert asserted == [], "assert a code, a type or a value, or pass the text to check_user_text:\n" + "\n".join(
        asserted
    )


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("assert 'the fog lifts' in message", 1),
        ("assert f'{key} is not there at {place}' == message, 'this is no comparison'", 1),
        ("with pytest.raises(ValueError, match='not a whole number'): run()", 1),
        ("assert state == 'in_doubt' and cells == ['two words', 'VIDEO/HOP']", 0),
        ("assert query('SELECT one, two FROM three') == PROMPT", 0),
        ("message = 'an input of the test'", 0),
    ],
)
def test_what_counts_as_an_asserted_sentence(code: str, count: int) -> None:
    assert len(list(sentences(code))) == count
