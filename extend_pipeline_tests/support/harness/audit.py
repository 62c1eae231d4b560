"""Audit the sandbox's charge book against the attempts of a ledger. Each finding is a sentence.

The checks are separate functions, because a test that tolerates one kind of difference still makes all others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Row

from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.support.harness.charges import (
    Charge,
    ChargeBook,
    Submission,
    match_charges,
    micros_of,
    submission_of,
)

S = AttemptState


def disagreements(book: ChargeBook, attempts: Sequence[Row[Any]]) -> list[str]:
    """Return every difference between a charge book and a ledger; there must be none at any moment, also between a
    crash and its recovery.

    A charge is that of a known task, or of an attempt that is being sent, in doubt or written off; never of one that
    was released or rejected. No step is charged twice.
    """
    submissions = [submission_of(row) for row in attempts]
    matches = match_charges(book.charges, submissions)
    return [
        *steps_charged_again(book),
        *keys_charged_again(book),
        *wrong_parents(matches.known),
        *wrong_amounts(matches.known),
        *unknown_charges(matches.unmatched, submissions),
        *stored_without_charge(book, attempts),
    ]


def steps_charged_again(book: ChargeBook, allowed: Callable[[Charge], int] = lambda _: 0) -> list[str]:
    """Return the steps that were charged more often than once and the `allowed` number of times more."""
    return [
        f"{double['count']} charges for one step, {1 + allowed(double)} allowed: {double['video_id']} was extended as "
        f"tasks {double['task_ids']}"
        for double in book.doubles
        if double["count"] > 1 + allowed(double)
    ]


def keys_charged_again(book: ChargeBook) -> list[str]:
    """Return the keys that more than one kept charge carries."""
    counts = Counter(charge["external_task_id"] for charge in book.kept if charge["external_task_id"] is not None)
    return [f"{count} charges for the key {key}" for key, count in sorted(counts.items()) if count > 1]


def wrong_parents(known: Iterable[tuple[Submission, Charge]]) -> list[str]:
    """Return the attempts whose task extended another video, or in another account."""
    return [
        f"{place_of(submission)} holds task {charge['task_id']}, made of {charge['video_id']} for {charge['account']}"
        for submission, charge in known
        if not submission.extends(charge)
    ]


def wrong_amounts(known: Iterable[tuple[Submission, Charge]]) -> list[str]:
    """Return the attempts that settled another amount than their task was charged, or none although they report one."""
    findings = []
    for submission, charge in known:
        row = submission.attempt
        assert row is not None
        if charge["refunded"] or (row.settled_micros is None and row.units_basis != "reported"):
            continue
        if row.settled_micros != micros_of(charge):
            findings.append(
                f"{place_of(submission)} settled {row.settled_micros} micro-units as {row.units_basis}, "
                f"task {row.task_id} cost {micros_of(charge)}"
            )
    return findings


def unknown_charges(unmatched: Iterable[Charge], submissions: Sequence[Submission]) -> list[str]:
    """Return the charges that no attempt accounts for, each with an ended attempt that may have made it."""
    findings = []
    for charge in unmatched:
        ended = next((s for s in submissions if s.task_id is None and s.may_have_made(charge)), None)
        state = "" if ended is None or ended.attempt is None else f"; {place_of(ended)} is {ended.attempt.state}"
        findings.append(
            f"an unknown charge: task {charge['task_id']} of {charge['video_id']}, {charge['units']} units{state}"
        )
    return findings


def stored_without_charge(book: ChargeBook, attempts: Iterable[Row[Any]]) -> list[str]:
    """Return the stored attempts whose task was never charged."""
    charged = {charge["task_id"] for charge in book.charges}
    return [
        f"{row.video_key}/{row.hop} is stored as task {row.task_id}, which was never charged"
        for row in attempts
        if row.state == S.STORED and row.task_id not in charged
    ]


def place_of(submission: Submission) -> str:
    """Return VIDEO/HOP of a submission's attempt."""
    assert submission.attempt is not None
    return f"{submission.attempt.video_key}/{submission.attempt.hop}"
