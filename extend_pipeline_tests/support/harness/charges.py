"""Match the sandbox's charges with the submits that a client has recorded: the pipeline's ledger, or a table of its
own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import Row, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.sandbox import SandboxHandle

S = AttemptState
Attempt = Row[Any] | AttemptRow
Charge = Mapping[str, Any]

POSSIBLY_CHARGED: Final = frozenset({S.SENDING, S.IN_DOUBT, S.WRITTEN_OFF})
"""States in which an attempt without a task may have made one."""


@dataclass(frozen=True)
class ChargeBook:
    """The sandbox's charge book, or the part of one account. `doubles` are steps that were charged more than once."""

    charges: tuple[Charge, ...]
    doubles: tuple[Charge, ...]

    @property
    def kept(self) -> list[Charge]:
        """The charges that were not refunded."""
        return [charge for charge in self.charges if not charge["refunded"]]

    @property
    def micros(self) -> int:
        """The sum of the kept charges in micro-units; for the book of one account."""
        return sum(micros_of(charge) for charge in self.kept)


def charge_book(sandbox: SandboxHandle, account: str | None = None) -> ChargeBook:
    """Read the charge book of all accounts, or of one."""
    content = sandbox.charges()

    def rows_of_account(rows: Iterable[Charge]) -> tuple[Charge, ...]:
        return tuple(row for row in rows if account in (None, row["account"]))

    return ChargeBook(rows_of_account(content["charges"]), rows_of_account(content["double"]))


def micros_of(charge: Charge) -> int:
    """Return the amount of a charge in micro-units."""
    return to_micros(Decimal(charge["units"]))


@dataclass(frozen=True)
class Submission:
    """One submit, as its client has recorded it.

    `parent` is the id of the extended video, or its URL (Vidu). `provider` and `account` are None where they need not
    be compared, `key` and `attempt` are None for a client that has no keys and no ledger. `needs_key`: each task that
    the submit makes carries the key.
    """

    parent: str
    provider: str | None = None
    account: str | None = None
    key: str | None = None
    needs_key: bool = False
    task_id: str | None = None
    may_be_charged: bool = False
    attempt: Attempt | None = None

    def extends(self, charge: Charge) -> bool:
        """Return whether a charge is for extending the same video, in the same account of the same provider."""
        video = charge["video_id"]
        is_parent = self.parent == video or unquote(urlsplit(self.parent).path).endswith(f"/{video}.mp4")
        return bool(is_parent and self._is_account_of(charge))

    def may_have_made(self, charge: Charge) -> bool:
        """Return whether the submit may have made a charge: by the key that the charge carries, else by the video."""
        if charge["external_task_id"] is not None:
            return bool(self.key == charge["external_task_id"] and self._is_account_of(charge))
        return not self.needs_key and self.extends(charge)

    def _is_account_of(self, charge: Charge) -> bool:
        is_provider = None in (self.provider, charge.get("provider")) or self.provider == charge["provider"]
        return bool(is_provider and self.account in (None, charge["account"]))


def submission_of(row: Attempt, *, same_accounts: bool = False) -> Submission:
    """Return the submit of an attempt. `same_accounts`: the home's accounts have the names of the sandbox's, so that
    they are compared too."""
    return Submission(
        parent=row.parent_video_id,
        provider=row.provider,
        account=row.account if same_accounts else None,
        key=row.external_task_id,
        needs_key=row.submit_class == "A",
        task_id=row.task_id or None,
        may_be_charged=S(row.state) in POSSIBLY_CHARGED,
        attempt=row,
    )


def attempts_in(ledger: Ledger) -> list[Row[Any]]:
    """Return every attempt of a ledger, in one snapshot, oldest first."""
    table = tables.attempts
    with ledger.read() as connection:
        return list(connection.execute(select(table).order_by(table.c.claimed_at, table.c.attempt_id)))


def submissions_in(ledger: Ledger) -> list[Submission]:
    """Return the submits of all attempts of a ledger whose accounts have the names of the sandbox's."""
    return [submission_of(row, same_accounts=True) for row in attempts_in(ledger)]


@dataclass(frozen=True)
class Matches:
    """Charges by what their client has recorded of them: `known` by their task, `possible` for a submit without a task
    that may have been charged, and `unmatched`."""

    known: tuple[tuple[Submission, Charge], ...]
    possible: tuple[tuple[Submission, Charge], ...]
    unmatched: tuple[Charge, ...]


def match_charges(charges: Iterable[Charge], submissions: Sequence[Submission]) -> Matches:
    """Match each charge with one submit. A submit without a task accounts for one charge at most."""
    by_task = {submission.task_id: submission for submission in submissions if submission.task_id is not None}
    open_submissions = [
        submission for submission in submissions if submission.may_be_charged and submission.task_id is None
    ]
    known: list[tuple[Submission, Charge]] = []
    possible: list[tuple[Submission, Charge]] = []
    unmatched: list[Charge] = []
    for charge in charges:
        if (submission := by_task.get(charge["task_id"])) is not None:
            known.append((submission, charge))
        elif (candidate := next((s for s in open_submissions if s.may_have_made(charge)), None)) is not None:
            open_submissions.remove(candidate)
            possible.append((candidate, charge))
        else:
            unmatched.append(charge)
    return Matches(tuple(known), tuple(possible), tuple(unmatched))


def as_charge(task: Mapping[str, Any]) -> Charge:
    """Return a task of the sandbox's console in the form of its charge."""
    return {
        "task_id": task["task_id"],
        "video_id": task["parent_video_id"],
        "account": task["account"],
        "external_task_id": task["external_task_id"],
    }


def tasks_of(row: Attempt, tasks: Iterable[Mapping[str, Any]], taken: Collection[Any]) -> list[Mapping[str, Any]]:
    """Return the tasks of the console that an attempt may have made and that no attempt holds, in the same order."""
    submission = submission_of(row, same_accounts=True)
    return [task for task in tasks if task["task_id"] not in taken and submission.may_have_made(as_charge(task))]
