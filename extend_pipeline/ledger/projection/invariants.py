"""The invariants of every ledger, checked by `extend-pipeline doctor` and after every crash test. Each violation is a
sentence that names the row."""

from collections import Counter, defaultdict
from typing import Any, Final

from sqlalchemy import Connection, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import LIVE, SLOT_HOLDING
from extend_pipeline.ledger.states import AttemptState as S

_RESERVED: Final = frozenset({S.CLAIMED, S.SENDING, S.IN_DOUBT, S.SUBMITTED, S.PROCESSING})
_FREE: Final = frozenset({S.RELEASED, S.REJECTED})
_SCHEDULED: Final = frozenset({S.SUBMITTED, S.PROCESSING, S.SUCCEEDED})


def check_invariants(ledger: Ledger) -> list[str]:
    """Return a sentence for each invariant of the ledger that does not hold."""
    with ledger.read() as connection:
        return findings(connection)


def findings(connection: Connection) -> list[str]:
    """Return the same as `check_invariants`, inside an open transaction."""
    attempts = list(connection.execute(select(tables.attempts)))
    charges = list(connection.execute(select(tables.charges)))
    return [
        *_history(connection),
        *_one_live_attempt(attempts),
        *_charges_match_states(attempts, charges),
        *_totals(connection, attempts, charges),
        *_evidence(attempts),
        *_generations(attempts),
        *_parents(attempts),
        *_schedules(connection, attempts),
    ]


def _history(connection: Connection) -> list[str]:
    table = tables.events
    count, last = connection.execute(select(func.count(), func.coalesce(func.max(table.c.seq), 0))).one()
    head = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
    violations = []
    if not count == last == head:
        violations.append(f"events: {count} rows, last number {last}, head {head}: they must be equal")
    first = func.min(table.c.seq).label("first")
    sending = select(table.c.attempt_id, first).where(table.c.kind == "attempt_sending").group_by(table.c.attempt_id)
    sent = {row.attempt_id: row.first for row in connection.execute(sending)}
    named = connection.execute(select(table.c.attempt_id, table.c.seq).where(table.c.kind == "attempt_submitted"))
    for attempt_id, seq in named:
        if sent.get(attempt_id, seq) >= seq:
            violations.append(f"attempt {attempt_id}: a task is known, but nothing says that it was being sent")
    return violations


def _one_live_attempt(attempts: list[Any]) -> list[str]:
    live = Counter((a.video_key, a.hop) for a in attempts if S(a.state) in LIVE)
    stored = Counter((a.video_key, a.hop, a.chain_digest) for a in attempts if a.state == S.STORED.value)
    tasks = Counter((a.account, a.task_id) for a in attempts if a.task_id is not None)
    return [
        *(f"{key[0]}/{key[1]}: {n} live attempts" for key, n in live.items() if n > 1),
        *(f"{key[0]}/{key[1]}: stored {n} times for the same parameters" for key, n in stored.items() if n > 1),
        *(f"task {key[1]} of account {key[0]} is held by {n} attempts" for key, n in tasks.items() if n > 1),
    ]


def _charges_match_states(attempts: list[Any], charges: list[Any]) -> list[str]:
    net: dict[str, int] = defaultdict(int)
    adjusted: dict[str, int] = defaultdict(int)
    for charge in charges:
        net[charge.attempt_id] += charge.micros
        if charge.entry == "adjust":
            adjusted[charge.attempt_id] += charge.micros
    violations = []
    for a in attempts:
        state = S(a.state)
        if state in _RESERVED or (state is S.FAILED and a.settled_micros is None):
            expected = a.predicted_micros
        elif state in _FREE:
            expected = 0
        else:
            expected = (a.settled_micros or 0) + adjusted[a.attempt_id]
        if net[a.attempt_id] != expected:
            violations.append(
                f"attempt {a.attempt_id} ({a.state}): {net[a.attempt_id]} micro-units are committed, {expected} must be"
            )
    return violations


def _totals(connection: Connection, attempts: list[Any], charges: list[Any]) -> list[str]:
    by_account: dict[str, int] = defaultdict(int)
    by_day: dict[tuple[str, str], int] = defaultdict(int)
    for charge in charges:
        by_account[charge.account] += charge.micros
        by_day[charge.account, charge.budget_day] += charge.micros
    flying = Counter(a.account for a in attempts if S(a.state) in SLOT_HOLDING)
    violations = []
    for row in connection.execute(select(tables.accounts)):
        if row.committed_micros != by_account[row.account]:
            violations.append(
                f"account {row.account}: total {row.committed_micros}, its charges sum to {by_account[row.account]}"
            )
        if row.in_flight != flying[row.account]:
            violations.append(f"account {row.account}: {row.in_flight} in flight, {flying[row.account]} attempts are")
    for row in connection.execute(select(tables.account_days)):
        if row.committed_micros != by_day[row.account, row.day]:
            charged = by_day[row.account, row.day]
            violations.append(f"account {row.account} on {row.day}: total {row.committed_micros}, charges {charged}")
    return violations


def _evidence(attempts: list[Any]) -> list[str]:
    violations = []
    for a in attempts:
        state = S(a.state)
        if state is S.STORED and not (a.sha256 and a.path and a.bytes):
            violations.append(f"attempt {a.attempt_id}: stored without a file")
        if state in _SCHEDULED and not a.task_id:
            violations.append(f"attempt {a.attempt_id} ({a.state}): no task id")
        if state is S.SUCCEEDED and not a.url:
            violations.append(f"attempt {a.attempt_id}: succeeded without a URL")
        if state is S.CLAIMED and a.sending_at is not None:
            violations.append(f"attempt {a.attempt_id}: claimed, though it was being sent")
    return violations


def _generations(attempts: list[Any]) -> list[str]:
    """Return the generations above 1 that no operator has allowed."""
    ends: dict[tuple[str, int, str, int], list[Any]] = defaultdict(list)
    for a in attempts:
        ends[a.video_key, a.hop, a.chain_digest, a.generation].append(a)
    violations = []
    for (video, hop, digest, generation), _ in ends.items():
        if generation == 1:
            continue
        before = ends.get((video, hop, digest, generation - 1), [])
        if not any(a.resubmit_allowed for a in before):
            violations.append(
                f"{video}/{hop}: generation {generation} without an operator's decision on generation {generation - 1}"
            )
    return violations


def _parents(attempts: list[Any]) -> list[str]:
    stored = {a.attempt_id for a in attempts if a.state == S.STORED.value}
    return [
        f"attempt {a.attempt_id}: its parent {a.parent_attempt_id} is not stored"
        for a in attempts
        if a.parent_attempt_id is not None and a.parent_attempt_id not in stored
    ]


def _schedules(connection: Connection, attempts: list[Any]) -> list[str]:
    known = set(connection.execute(select(tables.schedule.c.attempt_id)).scalars())
    return [
        f"attempt {a.attempt_id} ({a.state}): it is not scheduled, so no worker will look at it"
        for a in attempts
        if S(a.state) in _SCHEDULED and a.attempt_id not in known
    ]
