"""Each command of `extend-pipeline`, `dagster` and `dg` in the README and in the documents is one that the program has,
with its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from dagster._cli import create_dagster_cli
from dagster_dg_cli.cli import create_dg_cli

from extend_pipeline.cli import cli

ROOT = Path(__file__).parents[2]
# status.md names what is still to come
DOCUMENTS = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "status.md")]

PROGRAMS: dict[str, click.Command] = {"extend-pipeline": cli, "dagster": create_dagster_cli(), "dg": create_dg_cli()}

_COMMAND = rf"(?:[A-Z_]+=\S+ )?((?:{'|'.join(PROGRAMS)}) "
_INLINE = re.compile(rf"`{_COMMAND}[^`]+)`")
_LINE = re.compile(rf"(?m)^(?:\$ )?{_COMMAND}.+)$")
_CHOICE = re.compile(r"^[\[({]|\|$|^…$")  # "[--host 127.0.0.1]", "adopt TASK | resubmit", "resolve … resubmit"


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in a document, without the comment behind it."""
    for command in (*_INLINE.findall(text), *_LINE.findall(text)):
        yield shlex.split(command, comments=True)


def wrong_words(words: list[str]) -> list[str]:
    """Return the first verb or the options of a command that the program doesn't have."""
    program, *words = words
    known = PROGRAMS[program]
    context = click.Context(known)
    names = iter(words)
    for word in names:
        if word == "--home":
            next(names)
        elif word.startswith("-"):
            options = {name for option in known.params for name in option.opts} | {"--help", "--version"}
            if word.strip("[]") not in options:
                return [*words[:1], word]
        elif known.name == "defs":  # `dg scaffold defs`: what follows are the components of a project
            break
        elif isinstance(known, click.Group) and not _CHOICE.search(word):
            found = known.get_command(context, word)
            if found is None:
                return [word]
            known = found
    return []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert [wrong for words in commands(text) if (wrong := wrong_words(words))] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`extend-pipeline stats`", ["stats"]),
        ("$ extend-pipeline --home data/trial plan --messure", ["--home", "--messure"]),
        ("$ extend-pipeline ledger restore   # a comment's words", ["restore"]),
        ("`extend-pipeline ledger accept --why 'it is right'`", []),
        ('$ extend-pipeline --home data/demo sql "FROM lineage"', []),
        ("`dagster job execute -m films -j films_job --config-json '{}'`", ["job", "--config-json"]),
        ("`dagster job launch -m films -j films_job --config-json '{}'`", []),
        ("`dg docs`", ["docs"]),
        ("`dg launch -m films --job films_job --config-json '{}'`", []),
    ],
)
def test_what_is_found(text: str, wrong: list[str]) -> None:
    assert [found for words in commands(text) if (found := wrong_words(words))] == ([wrong] if wrong else [])
