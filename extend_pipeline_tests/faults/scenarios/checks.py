"""The result of a scenario, and the promises that are held against the sandbox's charge book,
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
from extend_pipeline_tests.faults.homes.scenario_home import ScenarioHome
from extend_pipeline_tests.faults.scenarios.operator import unfinished
from extend_pipeline_tests.support.harness.audit import disagreements
from extend_pipeline_tests.support.harness.charges import attempts_in, match_charges, submission_of
from extend_pipeline_tests.support.ledger.reckoning import films_in, replays_into, spoiled_files

STUMBLED: Final = "the scenario itself stumbled"
"""How a finding begins that is an exception of the harness: it shows nothing of money or files."""


@dataclass
class ScenarioResult:
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


def check(home: ScenarioHome, result: ScenarioResult, when: str) -> None:
    """The promises that hold at every moment."""
    with home.ledger() as ledger:
        broken = check_invariants(ledger)
        attempts = attempts_in(ledger)
        broken += spoiled_files(home.settings.media_dir, ledger)
        committed = _committed(ledger, home.account)
    book = home.book()
    findings = disagreements(book, attempts)
    if committed < book.micros and not home.may_cost_more:
        findings.append(f"{book.micros} micro-units were charged, and only {committed} are committed")
    result.doubles = max(result.doubles, len(book.doubles))
    unmatched = match_charges(book.charges, [submission_of(row) for row in attempts]).unmatched
    result.unknown = max(result.unknown, len(unmatched))
    result.findings += [f"{when}: {finding}" for finding in (*findings, *broken)]


def check_at_the_end(home: ScenarioHome, result: ScenarioResult, *, publish: bool = False) -> None:
    """The promises that hold at the end: everything is stored, paid once, whole, and in the events."""
    book = home.book()
    with home.ledger() as ledger:
        attempts = attempts_in(ledger)
        left = unfinished(ledger)
        stored = [row for row in attempts if row.state == AttemptState.STORED]
        with home.empty_ledger() as copy:
            events = replays_into(ledger, copy)
    hops = sum(home.steps)
    result.findings += [f"at the end {video}" for video in left]
    if len(stored) != hops:
        result.findings.append(f"at the end {len(stored)} of {hops} hops are stored")
    if len(book.kept) != hops:
        result.findings.append(f"at the end {hops} hops took {len(book.kept)} charges: {book.kept}")
    LocalStore(home.settings.media_dir).sweep(older_than_s=0, now=2**40)
    if parts := list(home.settings.media_dir.glob(".incoming/*")):
        result.findings.append(f"half files are left: {parts}")
    if publish:
        result.findings += _published_otherwise(home, events, len(stored))
    result.charges = len(book.charges)
    result.films = len(films_in(home.settings.media_dir))


def _committed(ledger: Ledger, account: str) -> int:
    with ledger.read() as connection:
        row = queries.accounts(connection).get(account)
    return 0 if row is None else int(row.committed_micros)


def _published_otherwise(home: ScenarioHome, events: int, stored: int) -> list[str]:
    """Where the published file does not tell what the ledger tells."""
    with reading(home.settings.warehouse_path) as connection:
        seq = connection.execute("SELECT ledger_seq FROM warehouse._meta").fetchone()
        films = connection.execute("SELECT count(*) FROM warehouse.completed_extensions").fetchone()
    assert seq is not None
    assert films is not None
    findings = [] if seq[0] == events else [f"the warehouse stands at event {seq[0]} of {events}"]
    findings += [] if films[0] == stored else [f"the warehouse shows {films[0]} films, {stored} are stored"]
    if list(home.settings.state_dir.glob("*.wal")):
        findings.append("a write-ahead log is left beside the warehouse")
    return findings
