"""Generate calls of every verb with missing, empty, huge, binary and contradictory input, and record how each ends."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from click.testing import CliRunner

from extend_pipeline.cli import cli

CODES: Final = frozenset({0, 1, 2, 130})
"""The exit codes of the table; 70 stands there too, for a mistake of the program, which no input may cause."""

BINARY: Final = b"\x00\xff\xfe\x80PK\x03\x04" * 40
HUGE: Final = "a" * 70_000
WORDS: Final = (
    *("", " ", "-", "--", "x", "0", "-1", "1e999", "nan", "\x1b[31m\u202e", "\udcff\udc80", "../../etc/passwd", "{}%s"),
    *("'; DROP TABLE attempts; --", "ä/1", "v/", "/1", "v/x", "v/-1", "v/99999999999999999999", HUGE),
)
NUMBERS: Final = ("", "x", "-1", "0", "0.5", "1", "nan", "inf", "-inf", "1e999", "9" * 40, "٣", "1_0", "0x10")
QUERIES: Final = (
    *("", ";", ";;", "-- only words", "/*", "SELECT", "SELECT 1", "SELECT 1; SELECT 2;", "SELECT 1; SELEKT", "\udcff"),
    *("FROM charges", "FROM cost_by_video", "FROM nowhere", "DROP TABLE charges", "SET threads = 1", "BEGIN; SELECT 1"),
    *("COPY charges TO '/tmp/never.csv'", "SELECT $1", "SELECT 1/0, sqrt(-1)", "SELECT repeat('x', 100000)"),
    *("FROM range(2000)", "SELECT 'x'::INT", "ATTACH 'x.db'", "INSTALL httpfs", "PRAGMA version", "EXPLAIN SELECT 1"),
    *("SELECT NULL, [], {'a': 1}, '\\x00'::BLOB, 'infinity'::TIMESTAMP, INTERVAL 1 DAY, 1e308::DOUBLE * 10", HUGE),
    *("SELECT chr(27) || chr(8238)", "SELECT 1 AS \"\", 2 AS \"\"", "PIVOT (SELECT 1 a, 2 b) ON a USING sum(b)"),
)  # fmt: skip
LEDGERS: Final = (
    *("", "nonsense", "sqlite://", "sqlite:///", "sqlite:////dev/null", "sqlite:////proc/version/x", "mysql://h/d"),
    *(
        "postgresql://u:hunter2-hunter2@127.0.0.1:9/d",
        "postgresql://[::1/d",
        "sqlite:///{home}/other.sqlite",
        HUGE,
        "\udcff",
    ),
)
SETTINGS: Final[Mapping[str, Sequence[str]]] = {
    "EXTEND_PIPELINE_LEDGER_URL": LEDGERS,
    "EXTEND_PIPELINE_MEDIA_URL": ("", "x", "s3://bucket/x", "file://", "file:///dev/null", "file:///proc/nowhere"),
    "EXTEND_PIPELINE_MIN_FREE_BYTES": NUMBERS,
    "EXTEND_PIPELINE_POST_DEADLINE_S": NUMBERS,
    "EXTEND_PIPELINE_LEASE_S": NUMBERS,
    "EXTEND_PIPELINE_LEDGR_URL": ("sqlite:///x",),
    "DAGSTER_HOME": ("", "relative", "/nowhere/at/all"),
    "COLUMNS": ("0", "1", "-5", "x", "60", "999999"),
}
SPOILT: Final = (
    *("catalog.yaml", "accounts.yaml", "catalog.csv", "state", "state/ledger.sqlite", "state/warehouse.duckdb"),
    *("state/media", "state/ledger.json", "state/warehouse.work.duckdb"),
)
"""Files and folders of a home that a call may find spoilt."""

CONTENTS: Final = (b"", BINARY, b"a" * 300_000, b"[1, 2]", b"key,account\n\xff,\x00\n", b"- {", b"{}", None)
"""What replaces them; None is an empty folder."""

SERVES: Final = ("sandbox", "callbacks")
"""Verbs that listen; they get a port that is taken, so that they end."""


@dataclass(frozen=True)
class Call:
    """One call: arguments after `--home`, variables, the contents that replace files, and stdin."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    spoilt: Mapping[str, bytes | None]
    stdin: bytes

    def __str__(self) -> str:
        return f"{[word[:80] for word in self.arguments]} {dict(self.environment)} {dict(self.spoilt)}"[:900]


@dataclass
class Walk:
    """How the calls ended: their counts by verb and code, and those that ended as no call may."""

    calls: int = 0
    codes: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def verbs() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every verb as its words, such as `ledger copy`, with its command."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for subcommand_name in command.list_commands(context):
                subcommand = command.get_command(context, subcommand_name)
                assert subcommand is not None
                yield (name, subcommand_name), subcommand
        else:
            yield (name,), command


def generate(draw: random.Random, names: tuple[str, ...], command: click.Command, inputs: Inputs) -> Call:
    """Return one call of a verb. Half of the calls have only words that the verb accepts, so that they open
    the home, which may be spoilt; the rest have any words."""
    words: list[str] = list(names)
    is_sane = draw.random() < 0.5
    for parameter in command.params:
        values = _values(draw, parameter, inputs, is_sane=is_sane)
        if isinstance(parameter, click.Argument):
            words += values if parameter.required or draw.random() < 0.6 else []
        elif draw.random() < 0.3 and parameter.name != "help":
            words += [draw.choice(parameter.opts), *values]
    if not is_sane and draw.random() < 0.2:
        words.insert(draw.randrange(1, len(words) + 1), draw.choice(WORDS))
    if names[0] in SERVES:
        words += ["--port", str(inputs.taken_port)]
    if names[0] == "advance" and "--max-seconds" not in words:
        words += ["--max-seconds", "0"]
    environment = {name: draw.choice(values) for name, values in SETTINGS.items() if draw.random() < 0.05}
    spoilt: dict[str, bytes | None] = {}
    if draw.random() < 0.4:
        spoilt[draw.choice(SPOILT)] = draw.choice(CONTENTS)
    return Call(tuple(words), environment, spoilt, draw.choice((b"", b"y\n", b"n\n", BINARY)))


@dataclass(frozen=True)
class Inputs:
    """What a call may name: a working home, its video and account, a taken port, and files of all kinds."""

    home: Path
    taken_port: int
    good: Sequence[str]
    files: Sequence[Path]


def _values(draw: random.Random, parameter: click.Parameter, inputs: Inputs, *, is_sane: bool) -> list[str]:
    kind = parameter.type
    if isinstance(parameter, click.Option) and (parameter.is_flag or parameter.count):
        return []
    good: Sequence[str]
    bad: Sequence[str]
    if parameter.name == "query":
        good, bad = QUERIES, (HUGE, "", "\udcff")
    elif parameter.name == "to":
        good, bad = (f"sqlite:///{inputs.home.parent}/copies/ledger-{draw.random()}.sqlite",), LEDGERS
    elif isinstance(kind, click.Choice):
        good, bad = tuple(map(str, kind.choices)), ("none", "")
    elif isinstance(kind, click.Path):
        good, bad = tuple(map(str, inputs.files)), ("", HUGE[:5000])
    elif isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        good, bad = ("0", "1", "2", "100"), NUMBERS
    else:
        good, bad = inputs.good, WORDS
    count = draw.randrange(3) if parameter.nargs < 0 else parameter.nargs
    return [draw.choice(good if is_sane else (*good, *bad)) for _ in range(count)]


def walk(inputs: Inputs, *, seed: int, count: int, put: Callable[[Call], Any]) -> Walk:
    """Make `count` calls of each verb and return how they ended; `put` is the context in which a call is made."""
    draw, done = random.Random(seed), Walk()
    for names, command in verbs():
        for _ in range(count):
            call = generate(draw, names, command, inputs)
            with put(call):
                _make(call, inputs.home, done)
    return done


def _make(call: Call, home: Path, done: Walk) -> None:
    result = CliRunner().invoke(
        cli, ["--home", str(home), *call.arguments], input=call.stdin, env=dict(call.environment)
    )
    done.calls += 1
    done.codes[call.arguments[0], result.exit_code] += 1
    crash = result.exception is not None and not isinstance(result.exception, SystemExit)
    shown = result.output
    if (
        result.exit_code in CODES
        and not crash
        and "Traceback" not in shown
        and (result.exit_code == 0 or shown.strip())
    ):
        return
    raised = "".join(traceback.format_exception(result.exception))[-1_500:] if crash else ""
    done.wrong.append(f"{call}\n  ended with {result.exit_code}: {shown[-1_800:]}{raised}")


@contextmanager
def spoiling(home: Path, spoilt: Mapping[str, bytes | None]) -> Iterator[None]:
    """Put files (or empty folders, where the content is None) in place of those of the home, and restore them."""
    replaced: list[tuple[Path, Path | None]] = []
    for number, (name, content) in enumerate(spoilt.items()):
        path, aside = home / name, home.parent / f"aside-{number}"
        if path.parent.is_dir():
            was_there = path.exists()
            if was_there:
                path.rename(aside)
            path.mkdir() if content is None else path.write_bytes(content)
            replaced.append((path, aside if was_there else None))
    try:
        yield
    finally:
        for path, before in reversed(replaced):
            _remove(path)
            if before is not None:
                before.rename(path)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
