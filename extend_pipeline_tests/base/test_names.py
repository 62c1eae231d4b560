"""Names of videos and accounts: which are valid, and why the others are refused."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extend_pipeline.base.names import MAX_NAME_LENGTH, PATTERN, name_fault, normal_name, was_a_name

GOOD = [
    "harbour-dawn",
    "a.b_c-d",
    "_x",
    "0070",
    "港口晨曦",
    "港口-2026_第3版",
    "ميناء_الفجر",
    "नमस्ते-दुनिया",  # with marks that are letters' parts
    "สวัสดี",
    "שלום",
    "Привет",
    "Ελλάδα",
    "한국어",
    "日本語ー",
    "Zürich",
    "ngôi-nhà",
    "٣٤٥",
    "𠮷野家",  # beyond the basic plane
    "港" * 64,
    "𠮷" * 64,
]
BAD = {
    "": "is empty",
    "港" * 65: "65 characters",
    "a...b": "three dots",
    "...": "three dots",
    "-rf": "begins with -",
    "-港": "begins with -",
    ".hidden": "a dot",
    "..": "a dot",
    "\u0301a": "U+0301",
    "a b": "a space",
    "a\u3000b": "a space",
    "a\u00a0b": "a space",
    "a\nb": "a space",
    "a/b": "holds /",
    "a:b": "holds :",
    "a\\b": "holds \\",
    "a,b": "holds ,",
    "港·口": "holds ·",
    "港，口": "holds ，",
    "x²": "holds ²",
    "Ⅷ": "holds Ⅷ",
    "🎬": "holds 🎬",
    "a\u200bb": "U+200B",
    "نیم\u200cفاصله": "U+200C",
    "a\u202eb": "U+202E",
    "a\ufe0f": "U+FE0F",
    "a\u3164": "U+3164",
    "a\x00b": "U+0000",
    "\ud800": "U+D800",
}


@pytest.mark.parametrize("name", GOOD)
def test_letters_and_digits_of_any_script_are_valid(name: str) -> None:
    normal = normal_name(name)
    assert name_fault(normal) is None
    assert normal_name(unicodedata.normalize("NFD", name)) == normal
    assert re.fullmatch(PATTERN, normal)


@pytest.mark.parametrize("name", BAD)
def test_a_refusal_names_the_reason_and_what_to_do(name: str) -> None:
    fault = name_fault(normal_name(name))
    assert fault is not None
    assert BAD[name] in fault[0]
    assert fault[1]


@given(st.text(max_size=MAX_NAME_LENGTH + 2))
@settings(deadline=None, max_examples=300)
def test_a_valid_name_is_safe_in_paths_options_ranges_and_terminals(text: str) -> None:
    name = normal_name(text)
    if name_fault(name) is not None:
        return
    assert 1 <= len(name) <= MAX_NAME_LENGTH
    assert normal_name(name) == name
    assert name.isprintable()
    assert name[0] not in "-."
    assert "..." not in name
    assert not set("/\\:*?\"'<>|,;&$`(){}[]=+@#%!~^ ") & set(name)
    assert re.fullmatch(PATTERN, name)


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", fullmatch=True))
@settings(deadline=None, max_examples=50)
def test_a_name_of_earlier_versions_stays_valid_and_unchanged(name: str) -> None:
    assert was_a_name(name)
    assert name_fault(name) is None
    assert normal_name(name) == name
