"""Search code and documents for the words that `docs/glossary.md` lists as not used.

`python -m extend_pipeline_tests.support.words [PATH …]` prints each hit as FILE:LINE: WORD.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
GLOSSARY: Final = ROOT / "docs" / "glossary.md"
_SEARCHED: Final = ("extend_pipeline/", "extend_pipeline_tests/", "benchmarks/", "docs/", "data/", "deploy/")
_ROOT_FILES: Final = ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml")
# stored or written under an old name: migrations, homes and texts of earlier versions, and the list itself
_EXEMPT: Final = (
    "docs/glossary.md",
    "extend_pipeline/ledger/migrations/",
    "extend_pipeline_tests/support/homes_of_before/",
    "extend_pipeline_tests/golden/",
)
_PARTS: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


@dataclass(frozen=True, slots=True)
class Hit:
    """A word that is not used, at the place where it stands."""

    path: str
    line: int
    word: str


@cache
def unused_words() -> dict[str, tuple[str, ...]]:
    """Return the words of the glossary's three tables, by heading: Nowhere, In sentences, As names."""
    text = GLOSSARY.read_text(encoding="utf-8").partition("## Words that are not used")[2]
    tables = re.split(r"(?m)^### ", text)[1:]
    return {
        table.partition("\n")[0].strip(): tuple(re.findall(r"(?m)^\| (?!word )([^|`]+?) \|", table)) for table in tables
    }


def searched_files() -> list[str]:
    """Return the paths of all files that the words are searched in, relative to the checkout."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    searched = [path for path in tracked if path.startswith(_SEARCHED) or path in _ROOT_FILES]
    suffixes = (".py", ".md", ".yaml", ".sql", ".toml", "Makefile")
    return [path for path in searched if path.endswith(suffixes) and not path.startswith(_EXEMPT)]


def hits(path: str) -> list[Hit]:
    """Return every hit in one file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if not _may_have_one(text):  # most files, which need not be parsed
        return []
    words = unused_words()
    nowhere, sentences, names = words["Nowhere"], words["In sentences"], words["As names"]
    all_hits: list[Hit] = []
    if not path.endswith(".py"):
        for line, prose in _prose(text):
            all_hits += [Hit(path, line, word) for word in _in_text(prose, nowhere + sentences)]
        return all_hits
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for line, prose in _sentences_of(text, tokens):
        all_hits += [Hit(path, line, word) for word in _in_text(prose, nowhere + sentences)]
    for token in tokens:
        if token.type == tokenize.NAME:
            all_hits += [Hit(path, token.start[0], word) for word in _in_name(token.string, nowhere + names)]
    return sorted(all_hits, key=lambda hit: hit.line)


def _may_have_one(text: str) -> bool:
    """Return whether the parts of a listed word stand in a text, one after another, also within longer names."""
    lowered = text.lower()
    return any(
        all(part in lowered for part in parts) and re.search(r"[\W\d_]*".join(map(re.escape, parts)), lowered)
        for parts in _parts_of_words()
    )


@cache
def _parts_of_words() -> list[list[str]]:
    return [word.lower().split() for words in unused_words().values() for word in words]


def _in_text(text: str, words: tuple[str, ...]) -> list[str]:
    return [word.lower() for word in _pattern(words).findall(text)]


@cache
def _in_name(name: str, words: tuple[str, ...]) -> list[str]:
    return _in_text(" ".join(_PARTS.findall(name)).lower(), words)


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    spaced = (re.escape(word).replace(r"\ ", r"\s+") for word in longest_first)
    return re.compile(rf"(?<![\w-])({'|'.join(spaced)})(?![\w-])", re.IGNORECASE)


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield a document's lines without code blocks and text in backticks."""
    in_block = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_block = not in_block
        elif not in_block:
            yield number, re.sub(r"`[^`]*`", "", line)


def _sentences_of(source: str, tokens: list[tokenize.TokenInfo]) -> Iterator[tuple[int, str]]:
    """Yield comments, docstrings and string literals of more than one word."""
    for token in tokens:
        if token.type == tokenize.COMMENT:
            yield token.start[0], re.sub(r"`[^`]*`", "", token.string)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield from (
                (node.lineno + offset, line)
                for offset, line in enumerate(re.sub(r"`[^`]*`", "", node.value).splitlines())
            )


def main(paths: list[str]) -> int:
    """Print the hits of the given files, or of all; return 1 where there is one."""
    searched = [path for path in searched_files() if not paths or path.startswith(tuple(paths))]
    all_hits = [hit for path in searched for hit in hits(path)]
    for hit in all_hits:
        print(f"{hit.path}:{hit.line}: {hit.word}")
    print(f"{len(all_hits)} hits in {len(searched)} files")
    return 1 if all_hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
