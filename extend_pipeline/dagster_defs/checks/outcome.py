"""The outcome of an asset check, with texts for the operator."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from extend_pipeline.base.wording import COMMAND, first_lines, shortened
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.proof import Proved

MAX_SHOWN: Final = 10  # findings in the UI; the count is always exact
MAX_ROWS: Final = 50  # of a table in the UI
MAX_CELL: Final = 500  # characters of a cell: a provider's message

_PLAIN: Final = str.maketrans(
    {
        **{char: f"\\{char}" for char in "*_[]~"},
        **{char: f"&#{ord(char)};" for char in "\\`|&<>"},
        **dict.fromkeys("\r\n\t\v\f\x85\u2028\u2029", " "),
    }
)
"""What Markdown would read as a part of its own in a cell, and how the character itself is written there."""

_LIVE: Final = re.compile(r"([\\\[<`*])")
_ESCAPED: Final = re.compile(r"\\([\\\[<`*])")


def outcome(
    findings: Sequence[str],
    todo: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    more: Mapping[str, Any] | None = None,
) -> dg.AssetCheckResult:
    """Return the result of a check, which passes without findings. Its description has the first findings and `todo`,
    what to do about them; `more` is further metadata."""
    lines = [*first_lines(findings, MAX_SHOWN), f"→ {todo}"] if findings else ["no findings"]
    return dg.AssetCheckResult(
        passed=not findings,
        severity=severity,
        description=as_markdown("\n".join(lines)),
        metadata={"findings": len(findings), **(more or {})},
    )


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left_out: int) -> dg.MarkdownMetadataValue:
    """Return a table for the UI, with a line for the rows that are `left_out`. Cells are plain text: a provider's words
    or a key can't become a link, an image or another row."""
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row([_plain(cell) for cell in row]) for row in rows)]
    if left_out:
        lines += ["", f"… and {left_out} more"]
    return dg.MetadataValue.md("\n".join(lines))


def with_home(result: dg.AssetCheckResult, settings: Settings) -> dg.AssetCheckResult:
    """Return the result of a check with commands that name the home, in its description and its tables."""
    command = _plain(settings.with_home("extend-pipeline x")).removesuffix("x")
    tables = {
        name: dg.MetadataValue.md(COMMAND.sub(lambda _: command, table.value or ""))
        for name, table in (result.metadata or {}).items()
        if isinstance(table, dg.MarkdownMetadataValue)
    }
    description = as_markdown(settings.with_home(as_text(result.description or "")))
    return result._replace(description=description, metadata={**(result.metadata or {}), **tables})


def as_markdown(text: str) -> str:
    """Return a text as the UI needs descriptions, which it reads as Markdown: each line stays a line, and a provider's
    words can't become a link, an image or HTML."""
    return _LIVE.sub(r"\\\1", text).replace("\n", "  \n")


def as_text(description: str) -> str:
    """Return the text that `as_markdown` was given, for a log."""
    return _ESCAPED.sub(r"\1", description.replace("  \n", "\n"))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    return shortened(text, MAX_CELL).translate(_PLAIN)


def proof_outcome(proved: Proved, rows: str, todo: str) -> dg.AssetCheckResult:
    """Return the result of a check that proves what changed, or everything once a day. Its metadata says which, how
    many `rows` were compared, and when everything last held."""
    proof = proved.proof
    more = {rows: proof.rows, **extent("everything" if proof.is_whole else "what changed", proved.whole_at_ms)}
    return outcome(proof.findings, todo, more=more)


def extent(compared: str, whole_at_ms: int | None) -> dict[str, Any]:
    """Return metadata: what was compared, and when everything last was (UTC ms)."""
    last = {} if whole_at_ms is None else {"everything_compared_at": dg.MetadataValue.timestamp(whole_at_ms / 1000)}
    return {"compared": compared, **last}
