"""Documents name tests and documents that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENTS = TESTS.parent / "docs"
_NAMED = re.compile(r"`((?:[a-z0-9_]+/)+test_[a-z0-9_]+\.py)(?:::(test_[a-z0-9_]+))?`")


@pytest.mark.parametrize("document", ["security.md", "reliability.md"])
def test_every_test_that_a_document_names_exists(document: str) -> None:
    named = _NAMED.findall((DOCUMENTS / document).read_text(encoding="utf-8"))
    assert len(named) > 10
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).is_file()
        or (
            name and not re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE)
        )
    ]
    assert missing == []


def test_every_linked_document_exists() -> None:
    text = (DOCUMENTS / "security.md").read_text(encoding="utf-8")
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert linked
    assert [target for target in linked if not (DOCUMENTS / target).exists()] == []
