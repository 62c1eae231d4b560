"""Words that the glossary lists as not used stand nowhere."""

from __future__ import annotations

from typing import Final

import pytest

from extend_pipeline_tests.support import words

NOT_YET: Final = ("extend_pipeline_tests/",)
"""Where words are still to be replaced; docs/status.md has the rest of that work."""


def test_no_word_stands_that_is_not_used() -> None:
    searched = [path for path in words.searched_files() if not path.startswith(NOT_YET)]
    assert len(searched) > 300
    assert [hit for path in searched for hit in words.hits(path)] == []


def test_the_glossary_has_the_three_tables() -> None:
    assert {heading: len(listed) > 5 for heading, listed in words.unused_words().items()} == {
        "Nowhere": True,
        "In sentences": True,
        "As names": True,
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def judge_all(): ...", ["judge"]),
        ("class SoundPlan: ...", ["sound"]),
        ('"""Return whatever came."""', ["whatever"]),
        ("x = 1  # nobody asks", ["nobody"]),
        ('"""Return `books`; a book."""', []),
        ("joined = soundtrack", []),
    ],
)
def test_names_and_sentences_are_searched_each_for_its_own_words(
    source: str, expected: list[str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("words")
    (folder / "module.py").write_text(source, encoding="utf-8")
    monkeypatch.setattr(words, "ROOT", folder)
    assert [hit.word for hit in words.hits("module.py")] == expected
