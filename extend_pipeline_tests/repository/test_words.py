"""No name and no sentence has a word that the glossary lists as not used."""

from __future__ import annotations

import pytest

from extend_pipeline_tests.support import words


def test_no_unused_word_is_in_the_repository() -> None:
    searched = words.searched_files()
    assert len(searched) > 700
    assert [hit for path in searched for hit in words.hits(path)] == []


def test_the_glossary_has_the_three_tables() -> None:
    assert {heading: len(listed) > 5 for heading, listed in words.unused_words().items()} == {
        "Nowhere": True,
        "In sentences": True,
        "As names": True,
    }


@pytest.mark.parametrize(
    ("source", "word", "is_hit"),
    [
        ("def {}_all(): ...", "judge", True),
        ("class {}Plan: ...", "Sound", True),
        ('"""Return {} came."""', "whatever", True),
        ("x = 1  # {} asks", "nobody", True),
        ('"""Return `{}`; a book."""', "books", False),
        ("joined = {}track", "sound", False),
    ],
)
def test_names_and_sentences_are_searched_for_different_words(
    source: str, word: str, is_hit: bool, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("words")
    (folder / "module.py").write_text(source.format(word), encoding="utf-8")
    monkeypatch.setattr(words, "ROOT", folder)
    assert [hit.word for hit in words.hits("module.py")] == [word.lower()] * is_hit
