"""Each document that code, tests or documents name is in the repository, and so is the heading beside its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDERS = ("extend_pipeline", "extend_pipeline_tests", "docs", "benchmarks", "deploy")
_SUFFIXES = {".py", ".md", ".sql", ".toml", ".yaml"}

_GAP = r"\s+(?:#\s+)?"  # between two words, also over a line's end in a comment
_DOCUMENT = re.compile(r"(?<![\w./-])((?:\.\./)*[\w-]+(?:/[\w-]+)*\.md)\b")
_HEADINGS = re.compile(rf'{_DOCUMENT.pattern}`?\)?,{_GAP}("[^"]+"(?:{_GAP}and{_GAP}"[^"]+")*)')
_NUMBERED = re.compile(r"\bupstream/\d{3}\b")  # the originals, which can't be here


def _files() -> Iterator[Path]:
    for folder in _FOLDERS:
        yield from (file for file in (ROOT / folder).rglob("*") if file.suffix in _SUFFIXES and file.is_file())
    yield from (file for file in ROOT.iterdir() if file.suffix in {".md", ".toml"} or file.name == "Makefile")


def _document(name: str, folder: Path) -> Path | None:
    """Return the document of that name, beside the file that names it, in the repository's root or in docs."""
    return next((place / name for place in (folder, ROOT, ROOT / "docs") if (place / name).is_file()), None)


def _headings(document: Path) -> set[str]:
    lines = document.read_text(encoding="utf-8").splitlines()
    return {line.lstrip("#").strip().strip("`") for line in lines if line.startswith("#")}


def missing(text: str, folder: Path) -> list[str]:
    """Return the references of a text in that folder which lead nowhere: missing documents and headings."""
    if ".md" not in text and "upstream/" not in text:  # most files, which a regular expression is slow to read
        return []
    gone = {name for name in _DOCUMENT.findall(text) if _document(name, folder) is None}
    headings = set()
    for name, quoted in _HEADINGS.findall(text):
        document = _document(name, folder)
        known = set() if document is None else _headings(document)
        for heading in re.findall(r'"([^"]+)"', re.sub(_GAP, " ", quoted)):
            if heading not in known:
                headings.add(f'{name}, "{heading}"')
    return sorted({*gone, *headings, *_NUMBERED.findall(text)})


def test_each_named_document_and_heading_exists() -> None:
    gone = {
        str(file.relative_to(ROOT)): names
        for file in _files()
        if file != Path(__file__)  # its examples lead nowhere on purpose
        and (names := missing(file.read_text(encoding="utf-8"), file.parent))
    }
    assert gone == {}


@pytest.mark.parametrize(
    "text",
    [
        'docs/upstream/kling.md, "Codes"',
        '# see docs/upstream/kling.md, "External\n# ids"',
        '`docs/upstream/kling.md`,\n    "Length" and "Retention"',
        '[the page](upstream/kling.md), "Bills"',
        "dg.MetadataValue.md(poster)",
    ],
)
def test_a_reference_that_leads_somewhere_is_not_reported(text: str) -> None:
    assert missing(text, ROOT) == []


@pytest.mark.parametrize(
    ("page", "rest", "reported"),
    [
        ("nowhere", "", "nowhere.md"),
        ("docs/nowhere", ' "Codes"', "docs/nowhere.md"),
        ("docs/upstream/kling", ', "No such heading"', 'docs/upstream/kling.md, "No such heading"'),
        ("docs/upstream/kling", ', "Length" and "No such\n# heading"', 'docs/upstream/kling.md, "No such heading"'),
    ],
)
def test_a_reference_that_leads_nowhere_is_reported(page: str, rest: str, reported: str) -> None:
    assert missing(f"{page}.md{rest}", ROOT) == [reported]


def test_a_numbered_original_is_reported() -> None:
    original = "upstream/" + "003"
    assert missing(f"as {original} says", ROOT) == [original]
