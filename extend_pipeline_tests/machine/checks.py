"""What must hold after every step, whatever the step was. Each finding is a sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Row, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import findings
from extend_pipeline.ledger.states import EXPOSED, MOVES, SLOT_HOLDING, AttemptState
from extend_pipeline_tests.chaos.counting import made_from, written_of
from extend_pipeline_tests.machine.person import WHO
from extend_pipeline_tests.machine.world import MAX_IN_FLIGHT, World
from extend_pipeline_tests.support.ledger.reckoning import Book, book_of, spoiled_files

S = AttemptState

OPEN: Final = frozenset({S.SENDING, S.IN_DOUBT, S.WRITTEN_OFF})
"""Where an attempt that names no task may have made one."""

_PAID: Final = frozenset({S.WRITTEN_OFF, S.FAILED, S.RESULT_LOST, S.QUARANTINED})
"""Ends of a step that was charged or may have been: a person's word to try again is a word to pay again."""

_CHARGES_BY: Final = (tables.charges.c.seq, *tables.charges.primary_key.columns)
_STATE_OF_KIND: Final = {f"attempt_{state.value}": state for state in S} | {"attempt_adopted": S.SUBMITTED}


@dataclass
class Watch:
    """Follows one world's ledger event by event, and remembers what it has seen of it."""

    world: World
    seq: int = 0
    words: int = 0
    states: dict[str, AttemptState] = field(default_factory=dict)
    ended: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    charges: list[tuple[Any, ...]] = field(default_factory=list)
    total: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    day: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def look(self) -> list[str]:
        """Everything that does not hold now."""
        with self.world.ledger.read() as connection:
            found = findings(connection)
            attempts = list(connection.execute(select(tables.attempts)))
            charges = list(connection.execute(select(tables.charges).order_by(*_CHARGES_BY)))
            events = tables.events
            news = list(connection.execute(select(events).where(events.c.seq > self.seq).order_by(events.c.seq)))
        book = book_of(self.world.home.sandbox)
        found += self._history(news, attempts, charges)
        found += self._ends(attempts)
        found += charges_known(self.world, book, attempts)
        found += doubles(book, attempts)
        found += spoiled_files(self.world.home.settings.media_dir, self.world.ledger)
        return found

    def _history(
        self, news: Sequence[Row[Any]], attempts: Sequence[Row[Any]], charges: Sequence[Row[Any]]
    ) -> list[str]:
        rows = [tuple(row) for row in charges]
        found = [] if rows[: len(self.charges)] == self.charges else ["charges that were booked have changed"]
        by_seq: dict[int, list[Row[Any]]] = defaultdict(list)
        for row in charges[len(self.charges) :]:
            by_seq[row.seq].append(row)
        self.charges = rows
        made = {row.attempt_id: row for row in attempts}
        for event in news:
            for row in by_seq[event.seq]:
                self.total[row.account] += row.micros
                self.day[row.account, row.budget_day] += row.micros
            found += self._moved(event)
            if event.kind == "attempt_claimed":
                found += self._over_caps(made[event.attempt_id], made)
            elif event.kind == "resubmit_allowed":
                self.words += 1
                found += [] if event.actor.startswith(WHO) else [f"{event.actor} allowed a hop to be paid for again"]
        if self.words != self.world.words:
            found.append(f"{self.words} hops may be paid for again, and the person said so of {self.world.words}")
        self.seq = news[-1].seq if news else self.seq
        return found

    def _moved(self, event: Row[Any]) -> list[str]:
        to = _STATE_OF_KIND.get(event.kind)
        if to is None:
            return []
        before = self.states.get(event.attempt_id)
        self.states[event.attempt_id] = to
        self.world.tally.add(f"became {to.value}")
        begins = event.kind in ("attempt_claimed", "attempt_adopted")
        fits = begins if before is None else to in MOVES[before]
        return [] if fits else [f"attempt {event.attempt_id} went from {before} to {to}"]

    def _over_caps(self, claimed: Row[Any], made: Mapping[str, Row[Any]]) -> list[str]:
        """Caps as they were at the moment of a claim; what is settled or found later may pass them, by no claim."""
        account, budget = claimed.account, self.world.budgets[claimed.account]
        mine = [
            made[key] for key, state in self.states.items() if made[key].account == account and state in SLOT_HOLDING
        ]
        stake = sum(row.predicted_micros for row in mine if self.states[row.attempt_id] in EXPOSED)
        sums = {
            "total": self.total[account],
            "per_day": self.day[account, claimed.budget_day],
            "in_doubt": stake,
        }
        found = [
            f"account {account}: {sums[cap]} micro-units against its cap {cap} of {budget[cap]} units at a claim"
            for cap in sums
            if sums[cap] > to_micros(Decimal(str(budget[cap])))
        ]
        return found + (
            [f"account {account}: {len(mine)} tasks in flight at a claim"] if len(mine) > MAX_IN_FLIGHT else []
        )

    def _ends(self, attempts: Sequence[Row[Any]]) -> list[str]:
        found = []
        seen = {row.attempt_id for row in attempts}
        for row in attempts:
            if MOVES[S(row.state)] <= {S.STORED}:
                end = (row.state, row.task_id, row.sha256, row.path, row.bytes, row.generation, row.finished_at)
                before = self.ended.setdefault(row.attempt_id, end)
                # a fetch that was stopped may store what another process gave up meanwhile
                if before != end and not (row.state == S.STORED and S.STORED in MOVES[S(before[0])]):
                    found.append(f"attempt {row.attempt_id} had ended as {before}, and is {end}")
                self.ended[row.attempt_id] = end
            if self.states.get(row.attempt_id) != row.state:
                found.append(
                    f"attempt {row.attempt_id} is {row.state}, its events say {self.states.get(row.attempt_id)}"
                )
        return found + [f"attempt {gone} is gone" for gone in self.states.keys() - seen]


def charges_known(world: World, book: Book, attempts: Sequence[Row[Any]], *, at_the_end: bool = False) -> list[str]:
    """Charges that the ledger doesn't know of. A charge is that of a known task, or of an attempt that may have made
    one. Class A may have released what a stopped process then sends: its next try is told so (`late`), which does not
    count any more at the end."""
    found = []
    by_task = {row.task_id: row for row in attempts if row.task_id is not None}
    doubts = [row for row in attempts if S(row.state) in OPEN and not row.task_id]
    released = {row.external_task_id for row in attempts if row.state == S.RELEASED and row.submit_class == "A"}
    for charge in book.charges:
        row = by_task.get(charge["task_id"])
        if row is not None:
            found += _wrong_row(row, charge)
        elif charge["task_id"] in world.foreign:
            continue
        elif (mine := next((each for each in doubts if _may_have_made(each, charge)), None)) is not None:
            doubts.remove(mine)
        elif charge["external_task_id"] in released and not at_the_end:
            world.tally.add("looks at a charge that its next try is told of")
        else:
            found.append(f"nobody knows of {charge}")
    made = {charge["task_id"] for charge in book.charges}
    found += [
        f"{row.video_key}/{row.hop} is stored without a charge"
        for row in attempts
        if row.state == S.STORED and row.task_id not in made
    ]
    keys = Counter(charge["external_task_id"] for charge in book.kept if charge["external_task_id"] is not None)
    return found + [f"{number} charges for the key {key}" for key, number in keys.items() if number > 1]


def _wrong_row(row: Row[Any], charge: Mapping[str, Any]) -> list[str]:
    where = f"{row.video_key}/{row.hop}"
    if row.chain_digest != "orphan" and not made_from(written_of(row), charge):
        return [f"{where} holds task {row.task_id}, made of {charge['video_id']} for {charge['account']}"]
    units = to_micros(Decimal(charge["units"]))
    if row.state == S.FAILED or row.units_basis != "reported" or charge["refunded"] or row.settled_micros == units:
        return []
    return [f"{where} settled {row.settled_micros} micro-units as reported, task {row.task_id} cost {units}"]


def _may_have_made(row: Row[Any], charge: Mapping[str, Any]) -> bool:
    if charge["external_task_id"] is not None:
        return bool(row.external_task_id == charge["external_task_id"])
    return made_from(written_of(row), charge)


def doubles(book: Book, attempts: Sequence[Row[Any]]) -> list[str]:
    """Steps that were charged more often than a person has said."""
    found = []
    for double in book.doubles:
        same = [row for row in attempts if made_from(written_of(row), double)]
        words = sum(bool(row.resubmit_allowed) and S(row.state) in _PAID for row in same)
        if double["count"] > 1 + words:
            found.append(f"{double['count']} charges for one step, with {words} words of a person: {double}")
    return found
