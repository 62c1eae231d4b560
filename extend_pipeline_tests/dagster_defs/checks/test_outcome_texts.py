"""Tables and descriptions of checks are plain text to the UI, which reads Markdown."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from extend_pipeline.dagster_defs.checks.needs import needs_outcome
from extend_pipeline.dagster_defs.checks.outcome import as_markdown, as_text
from extend_pipeline.engine.needs import Need
from extend_pipeline_tests.dagster_defs.checks.test_needs_person import COLUMNS


def test_the_table_shows_fifty_and_counts_the_others() -> None:
    waiting = [Need(kind="failed", videos=(f"v{n}",), hop=1, message=f"v{n}/1 failed", todo="") for n in range(53)]
    check = needs_outcome(waiting, "UTC")
    assert check.metadata["findings"].value == 53
    *table, _, rest = str(check.metadata["waiting"].value).splitlines()
    assert len(table) == 2 + 50
    assert "3 more" in rest


@pytest.mark.parametrize(
    "words",
    [
        "a | b || c",
        "back\\slash \\| and `code | more` \\",
        "<img src=x onerror=alert(1)> <b>bold</b> &amp; &#124;",
        "[link](http://example.com) ![image](http://example.com/x.png) <http://example.com>",
        "*stars* __lines__ ~~struck~~ _one_",
        "# head\n\n- item\n\n| a | row |\r\n|---|---|",
    ],
)
def test_a_providers_words_are_plain_text_in_the_table(words: str) -> None:
    need = Need(kind="failed", videos=("one",), hop=1, message="failed", words=words, todo="do | it")
    shown = str(needs_outcome([need], "UTC").metadata["waiting"].value)
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(shown)
    assert [token.type for token in tokens].count("tr_open") == 2
    cells = [token for token in tokens if token.type == "inline"][len(COLUMNS) :]
    assert len(cells) == len(COLUMNS)
    assert {part.type for cell in cells for part in cell.children or ()} <= {"text", "text_special"}
    text = ["".join(part.content for part in cell.children or ()) for cell in cells]
    assert text[-2:] == [" ".join(words.replace("\r", " ").split("\n")).strip(), "do | it"]


@pytest.mark.parametrize(
    "text",
    [
        "first\nsecond → third",
        "![image](http://example.com/x.png) and [link](http://example.com)",
        "\\[escaped](http://example.com) \\\\<b>",
        "<img src=x onerror=alert(1)> `code` *stars*",
    ],
)
def test_a_description_is_plain_text_line_by_line(text: str) -> None:
    shown = as_markdown(text)
    assert as_text(shown) == text
    parts = [part for token in MarkdownIt("gfm-like", {"linkify": False}).parse(shown) for part in token.children or ()]
    assert {part.type for part in parts} <= {"text", "text_special", "hardbreak"}
    assert "".join("\n" if part.type == "hardbreak" else part.content for part in parts) == text
