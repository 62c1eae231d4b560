"""The harness's own books: what a scenario has shown, and the promises that are held against the sandbox's charge book,
the ledger, the files and the warehouse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.warehouse.read import reading
from extend_pipeline_tests.faults.person import unfinished
from extend_pipeline_tests.faults.scene import Scene
from extend_pipeline_tests.support.harness.audit import disagreements
from extend_pipeline_tests.support.harness.charges import attempts_in, match_charges, submission_of
from extend_pipeline_tests.support.ledger.reckoning import films_in, replays_into, spoiled_files

STUMBLED: Final = "the scenario itself stumbled"
"""How a finding begins that is an exception of the harness: it shows nothing of money or files."""


@dataclass
class Trial:
    """How one scenario ended. `findings` are sentences, and must be empty; `late` faults struck only when new work came
    after the recovery."""

    name: str
    group: str
    kills: int = 0
    fired: int = 0
    late: int = 0
    charges: int = 0
    doubles: int = 0
    unknown: int = 0
    adopted: int = 0
    resubmitted: int = 0
    films: int = 0
    cpu_s: float = 0.0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


def check(scene: Scene, trial: Trial, when: str) -> None:
    """The promises that hold at every moment."""
    with scene.ledger() as ledger:
        broken = check_invariants(ledger)
        attempts = attempts_in(ledger)
        broken += spoiled_files(scene.settings.media_dir, ledger)
        committed = _committed(ledger, scene.account)
    book = scene.book()
    findings = disagreements(book, attempts)
    if committed < book.micros and not scene.may_cost_more:
        findings.append(f"{book.micros} micro-units were charged, and only {committed} are committed")
    trial.doubles = max(trial.doubles, len(book.doubles))
    unmatched = match_charges(book.charges, [submission_of(row) for row in attempts]).unmatched
    trial.unknown = max(trial.unknown, len(unmatched))
    trial.findings += [f"{when}: {finding}" for finding in (*findings, *broken)]


def close_the_books(scene: Scene, trial: Trial, *, publish: bool = False) -> None:
    """The promises that hold at the end: everything is stored, paid once, whole, and in the events."""
    book = scene.book()
    with scene.ledger() as ledger:
        attempts = attempts_in(ledger)
        left = unfinished(ledger)
        stored = [row for row in attempts if row.state == AttemptState.STORED]
        with scene.empty_ledger() as copy:
            events = replays_into(ledger, copy)
    hops = sum(scene.steps)
    trial.findings += [f"at the end {each}" for each in left]
    if len(stored) != hops:
        trial.findings.append(f"at the end {len(stored)} of {hops} hops are stored")
    if len(book.kept) != hops:
        trial.findings.append(f"at the end {hops} hops took {len(book.kept)} charges: {book.kept}")
    LocalStore(scene.settings.media_dir).sweep(older_than_s=0, now=2**40)
    if parts := list(scene.settings.media_dir.glob(".incoming/*")):
        trial.findings.append(f"half files are left: {parts}")
    if publish:
        trial.findings += _published_otherwise(scene, events, len(stored))
    trial.charges = len(book.charges)
    trial.films = len(films_in(scene.settings.media_dir))


def _committed(ledger: Ledger, account: str) -> int:
    with ledger.read() as connection:
        row = queries.accounts(connection).get(account)
    return 0 if row is None else int(row.committed_micros)


def _published_otherwise(scene: Scene, events: int, stored: int) -> list[str]:
    """Where the published file does not tell what the ledger tells."""
    with reading(scene.settings.warehouse_path) as connection:
        seq = connection.execute("SELECT ledger_seq FROM warehouse._meta").fetchone()
        films = connection.execute("SELECT count(*) FROM warehouse.completed_extensions").fetchone()
    assert seq is not None
    assert films is not None
    found = [] if seq[0] == events else [f"the warehouse stands at event {seq[0]} of {events}"]
    found += [] if films[0] == stored else [f"the warehouse shows {films[0]} films, {stored} are stored"]
    if list(scene.settings.state_dir.glob("*.wal")):
        found.append("a write-ahead log is left beside the warehouse")
    return found
