"""Read an invoice that was saved as CSV into rows, to compare the ledger with.

Columns are found by their names: a task's id; units or an amount; and optionally a currency and a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from extend_pipeline.config.fields.ids import zeros_beyond_15_digits
from extend_pipeline.config.files.text import read_text
from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.reconcile.invoice.findings import Findings
from extend_pipeline.engine.reconcile.invoice.rows import (
    MAX_MICROS,
    TOO_MUCH,
    UNNAMED,
    InvoiceRow,
    find_layout,
    read_rows,
)

MAX_BYTES: Final = 50_000_000  # half a million lines: more than any account's year
# Zeros beyond the 15th digits in all ids of a file: this many occur by chance once in 100,000 files.
_MAX_ZEROS: Final = 5


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice, one row a task, in the order of the file. `first_ms` and `last_ms` are the times of its earliest and
    its latest line, None where none has a time. `notes` are sentences for the operator; `whole` is False where
    lines were left out that may be a task's."""

    rows: tuple[InvoiceRow, ...]
    first_ms: int | None
    last_ms: int | None
    notes: tuple[str, ...]
    whole: bool = True


@dataclass(frozen=True, slots=True)
class InvoiceProblems:
    """The mistakes for which an invoice was not read. None of its rows may be used."""

    problems: tuple[ConfigIssue, ...]

    def text(self) -> str:
        """Return a line for each mistake: file, line, column, the text there, and what to do."""
        return "\n".join(problem.text() for problem in self.problems)


def read_invoice(path: Path, *, account: Account) -> Invoice | InvoiceProblems:
    """Read an account's invoice. Never raise because of the file's content, or because it is missing.

    The separator is a comma, a semicolon or a tab; a byte order mark and a spreadsheet's `sep=` line are skipped.
    Lines without a task, such as totals, are left out with a note; lines of the same task are added up with a note.
    """
    text = _read(path)
    if isinstance(text, ConfigIssue):
        return InvoiceProblems((text,))
    findings = Findings(path.name)
    layout = find_layout(text, findings)
    if layout is None:
        return InvoiceProblems(findings.issues())
    lines = list(read_rows(text, layout, account, findings))
    _refuse_rounded_ids(lines, findings)
    if not lines and not findings.issues():
        findings.add(None, None, None, "no line of the file names a task", "Is it the list by task?")
    if issues := findings.issues():
        return InvoiceProblems(issues)
    times = [line.at_ms for line in lines if line.at_ms is not None]
    rows = tuple(_add_up(lines, findings))
    for row in rows:
        if max(abs(row.units_micros), abs(row.amount_micros or 0)) > MAX_MICROS:
            findings.add(row.line, None, row.task_id, f"with its other lines {TOO_MUCH}", "Look at its lines.")
    if issues := findings.issues():
        return InvoiceProblems(issues)
    whole = not findings.has_noted(UNNAMED)
    return Invoice(rows, min(times, default=None), max(times, default=None), findings.notes(), whole)


def _read(path: Path) -> str | ConfigIssue:
    def problem(message: str, hint: str) -> ConfigIssue:
        return ConfigIssue(path.name, None, message, hint)

    try:
        exists = path.exists()
        if exists and not path.is_file():
            return problem("this is not a file", "Name the CSV file itself.")
        size = path.stat().st_size if exists else 0
    except (OSError, ValueError) as error:
        return problem(f"the file can't be read: {error}", "Look at its name.")
    if size > MAX_BYTES:
        return problem(f"the file has {size} bytes, and {MAX_BYTES} are the most", "Save it in parts, a month each.")
    text = read_text(path)
    if isinstance(text, ConfigIssue) and exists:
        return replace(text, hint="Save the list by task as CSV in UTF-8: a header, and a line for each task.")
    return text


def _refuse_rounded_ids(lines: Sequence[InvoiceRow], findings: Findings) -> None:
    """Add an issue where all long ids end in zeros after their 15th digit, as a spreadsheet rounds numbers."""
    zeros = {task_id: zeros_beyond_15_digits(task_id) for task_id in {line.task_id for line in lines}}
    if None in zeros.values() or sum(count or 0 for count in zeros.values()) < _MAX_ZEROS:
        return
    first = next(line for line in lines if zeros[line.task_id])
    findings.add(
        first.line,
        None,
        first.task_id,
        "and all other long ids of the file end in zeros: a spreadsheet has rounded them",
        "Export the ids as text; their last digits are lost in this file.",
    )


def _add_up(lines: Sequence[InvoiceRow], findings: Findings) -> Iterator[InvoiceRow]:
    by_task: dict[str, list[InvoiceRow]] = {}
    for line in lines:
        by_task.setdefault(line.task_id, []).append(line)
    for task_id, task_lines in by_task.items():
        if len(task_lines) > 1:
            findings.note("lines name a task that was named before; its amounts were added up", task_lines[1].line)
        amounts = [line.amount_micros for line in task_lines]
        amount = None if None in amounts else sum(part for part in amounts if part is not None)
        yield InvoiceRow(
            task_id, sum(line.units_micros for line in task_lines), task_lines[0].at_ms, task_lines[0].line, amount
        )
