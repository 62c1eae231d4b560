"""Check what must hold after every step. Each finding is a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Row, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import findings
from extend_pipeline.ledger.states import EXPOSED, MOVES, SLOT_HOLDING, AttemptState
from extend_pipeline_tests.machine.world.world import MAX_IN_FLIGHT, World
from extend_pipeline_tests.support.harness.audit import (
    keys_charged_again,
    steps_charged_again,
    stored_without_charge,
    unknown_charges,
    wrong_amounts,
    wrong_parents,
)
from extend_pipeline_tests.support.harness.charges import (
    Charge,
    ChargeBook,
    charge_book,
    match_charges,
    submission_of,
)
from extend_pipeline_tests.support.harness.operator import OPERATOR
from extend_pipeline_tests.support.ledger.reckoning import spoiled_files

S = AttemptState

_PAID: Final = frozenset({S.WRITTEN_OFF, S.FAILED, S.RESULT_LOST, S.QUARANTINED})
"""Final states of an attempt that was or may have been charged: to try it again is to pay again."""

_CHARGES_BY: Final = (tables.charges.c.seq, *tables.charges.primary_key.columns)
_STATE_OF_KIND: Final = {f"attempt_{state.value}": state for state in S} | {"attempt_adopted": S.SUBMITTED}


@dataclass
class Watch:
    """Follows one world's ledger event by event, and remembers what it has seen of it."""

    world: World
    seq: int = 0
    resubmits: int = 0
    states: dict[str, AttemptState] = field(default_factory=dict)
    ended: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    charges: list[tuple[Any, ...]] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    day: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def look(self) -> list[str]:
        """Everything that does not hold now."""
        with self.world.ledger.read() as connection:
            differences = findings(connection)
            charges = list(connection.execute(select(tables.charges).order_by(*_CHARGES_BY)))
            attempts = list(connection.execute(select(tables.attempts)))
            events = tables.events
            news = list(connection.execute(select(events).where(events.c.seq > self.seq).order_by(events.c.seq)))
        book = charge_book(self.world.home.sandbox)
        differences += self._history(news, attempts, charges)
        differences += self._ends(attempts)
        differences += unexpected_charges(self.world, book, attempts)
        differences += steps_charged_again(book, lambda double: resubmits_of(double, attempts))
        differences += spoiled_files(self.world.home.settings.media_dir, self.world.ledger)
        return differences

    def _history(
        self, news: Sequence[Row[Any]], attempts: Sequence[Row[Any]], charges: Sequence[Row[Any]]
    ) -> list[str]:
        rows = [tuple(row) for row in charges]
        differences = [] if rows[: len(self.charges)] == self.charges else ["charges that were booked have changed"]
        by_seq: dict[int, list[Row[Any]]] = defaultdict(list)
        for row in charges[len(self.charges) :]:
            by_seq[row.seq].append(row)
        self.charges = rows
        made = {row.attempt_id: row for row in attempts}
        for event in news:
            for row in by_seq[event.seq]:
                self.total[row.account] += row.micros
                self.day[row.account, row.budget_day] += row.micros
            differences += self._moved(event)
            if event.kind == "attempt_claimed":
                differences += self._over_caps(made[event.attempt_id], made)
            elif event.kind == "resubmit_allowed":
                self.resubmits += 1
                differences += (
                    [] if event.actor.startswith(OPERATOR) else [f"{event.actor} allowed a hop to be paid for again"]
                )
        if self.resubmits != self.world.resubmits:
            differences.append(
                f"{self.resubmits} hops may be paid for again, the operator allowed {self.world.resubmits}"
            )
        self.seq = news[-1].seq if news else self.seq
        return differences

    def _moved(self, event: Row[Any]) -> list[str]:
        to = _STATE_OF_KIND.get(event.kind)
        if to is None:
            return []
        before = self.states.get(event.attempt_id)
        self.states[event.attempt_id] = to
        self.world.counters.add(f"became {to.value}")
        begins = event.kind in ("attempt_claimed", "attempt_adopted")
        fits = begins if before is None else to in MOVES[before]
        return [] if fits else [f"attempt {event.attempt_id} went from {before} to {to}"]

    def _over_caps(self, claimed: Row[Any], made: Mapping[str, Row[Any]]) -> list[str]:
        """Caps as they were at the moment of a claim; what is settled or found later may pass them, by no claim."""
        account, budget = claimed.account, self.world.budgets[claimed.account]
        held = [
            made[key] for key, state in self.states.items() if made[key].account == account and state in SLOT_HOLDING
        ]
        exposed = sum(row.predicted_micros for row in held if self.states[row.attempt_id] in EXPOSED)
        sums = {
            "total": self.total[account],
            "per_day": self.day[account, claimed.budget_day],
            "in_doubt": exposed,
        }
        differences = [
            f"account {account}: {sums[cap]} micro-units against its cap {cap} of {budget[cap]} units at a claim"
            for cap in sums
            if sums[cap] > to_micros(Decimal(str(budget[cap])))
        ]
        return differences + (
            [f"account {account}: {len(held)} tasks in flight at a claim"] if len(held) > MAX_IN_FLIGHT else []
        )

    def _ends(self, attempts: Sequence[Row[Any]]) -> list[str]:
        differences = []
        seen = {row.attempt_id for row in attempts}
        for row in attempts:
            if MOVES[S(row.state)] <= {S.STORED}:
                end = (row.state, row.task_id, row.sha256, row.path, row.bytes, row.generation, row.finished_at)
                before = self.ended.setdefault(row.attempt_id, end)
                # a fetch that was stopped may store what another process gave up meanwhile
                if before != end and not (row.state == S.STORED and S.STORED in MOVES[S(before[0])]):
                    differences.append(f"attempt {row.attempt_id} had ended as {before}, and is {end}")
                self.ended[row.attempt_id] = end
            if self.states.get(row.attempt_id) != row.state:
                differences.append(
                    f"attempt {row.attempt_id} is {row.state}, its events say {self.states.get(row.attempt_id)}"
                )
        return differences + [f"attempt {gone} is gone" for gone in self.states.keys() - seen]


def unexpected_charges(
    world: World, book: ChargeBook, attempts: Sequence[Row[Any]], *, at_the_end: bool = False
) -> list[str]:
    """Return the differences between the charge book and the ledger.

    Tolerated are charges of another customer's tasks; the parents of adopted unmatched tasks, which not every provider
    shows; amounts that no provider has reported; and, before the end, `late` charges: class A may have released an
    attempt that a stopped process then sends, and the next try is refused as a duplicate.
    """
    held = {row.task_id for row in attempts}
    charges = [charge for charge in book.charges if charge["task_id"] in held or charge["task_id"] not in world.foreign]
    submissions = [submission_of(row, same_accounts=True) for row in attempts]
    matches = match_charges(charges, submissions)
    released = {row.external_task_id for row in attempts if row.state == S.RELEASED and row.submit_class == "A"}
    late = [charge for charge in matches.unmatched if charge["external_task_id"] in released and not at_the_end]
    if late:
        world.counters.add("looks at a charge that its next try is refused for", len(late))
    rows = [(submission, charge, submission.attempt) for submission, charge in matches.known]
    own = [(submission, charge) for submission, charge, row in rows if row and row.chain_digest != "orphan"]
    reported = [
        (submission, charge)
        for submission, charge, row in rows
        if row and row.state != S.FAILED and row.units_basis == "reported"
    ]
    return [
        *wrong_parents(own),
        *wrong_amounts(reported),
        *unknown_charges([charge for charge in matches.unmatched if charge not in late], submissions),
        *stored_without_charge(book, attempts),
        *keys_charged_again(book),
    ]


def resubmits_of(double: Charge, attempts: Sequence[Row[Any]]) -> int:
    """Return how many further charges of a step the operator has allowed."""
    return sum(
        bool(row.resubmit_allowed) and S(row.state) in _PAID and submission_of(row, same_accounts=True).extends(double)
        for row in attempts
    )
