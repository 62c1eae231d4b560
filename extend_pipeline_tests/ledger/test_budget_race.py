"""Twenty processes that claim at once: no cap is passed at any event of the history, all that fits is claimed, and a
pause holds from its own event on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from sqlalchemy import func, select

from extend_pipeline.base.days import day_of
from extend_pipeline.base.units import MICRO, from_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason, BudgetLimits
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.ledger.committed import Peaks, peaks
from extend_pipeline_tests.support.ledger.steps import NOON, claim, move, request, send, submit
from extend_pipeline_tests.support.processes.children import CONTEXT

S = AttemptState

CROWD: Final = 20
TRIES: Final = 20  # of each process: 400 claims for what has room for 50
ROOM: Final = 50
ACCOUNT: Final = "kling-main"
LOTS: Final = 10**6
PRICE: Final = 2  # units a claim


@dataclass(frozen=True)
class Race:
    """A cap that 50 claims of two units fill, and how its use is read from the history."""

    name: str
    caps: BudgetLimits
    reason: BlockReason
    most: Callable[[Peaks], int]
    cap: int


def _caps(*, per_day: int = LOTS, total: int = LOTS, slots: int = LOTS, in_doubt: int = LOTS) -> BudgetLimits:
    return BudgetLimits(per_day * MICRO, total * MICRO, slots, in_doubt * MICRO)


# an odd cap, so that the last claim would pass it by one unit
_UNITS: Final = ROOM * PRICE + 1
RACES: Final = (
    Race(
        "a day",
        _caps(per_day=_UNITS),
        BlockReason.DAY_BUDGET,
        lambda p: p.day[ACCOUNT, day_of(NOON, "UTC")],
        _UNITS * MICRO,
    ),
    Race("in total", _caps(total=_UNITS), BlockReason.TOTAL_BUDGET, lambda p: p.total[ACCOUNT], _UNITS * MICRO),
    Race("in flight", _caps(slots=ROOM), BlockReason.SLOTS, lambda p: p.in_flight[ACCOUNT], ROOM),
    Race("exposed", _caps(in_doubt=_UNITS), BlockReason.EXPOSED, lambda p: p.exposed[ACCOUNT], _UNITS * MICRO),
)


@dataclass(frozen=True)
class ClaimCounts:
    """The claims that one process tried and made, and the reasons of the refused ones."""

    tried: int
    made: int
    reasons: frozenset[str]


def _claim_and_give_back(
    url: str, number: int, allowed: BudgetLimits, moves_on: bool, start: Any, results: Any
) -> None:
    """Claim hop after hop. In the first half every third claim makes room again: released, or sent and accepted."""
    ledger = open_ledger(url)
    reasons, made = set(), 0
    try:
        start.wait(60)
        for hop in range(1, TRIES + 1):
            step = request(f"v{number}", hop)
            result = claim(ledger, step, owner=f"p{number}", caps={ACCOUNT: allowed})
            reasons |= {refused.reason.value for refused in result.refused}
            made += len(result.claimed)
            if not result.claimed or hop > TRIES // 2 or hop % 3:
                continue
            if moves_on:
                send(ledger, step.attempt_id, owner=f"p{number}")
                submit(ledger, step.attempt_id, f"task-{number}-{hop}")
            else:
                move(ledger, step.attempt_id, S.RELEASED)
        results.put(ClaimCounts(TRIES, made, frozenset(reasons)))
    finally:
        ledger.close()


def _in_processes(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> list[ClaimCounts]:
    """Run one process for each tuple of arguments, which ends with a queue for its counts."""
    results = arguments[0][-1]
    children = [CONTEXT.Process(target=work, args=process_arguments, daemon=True) for process_arguments in arguments]
    for child in children:
        child.start()
    counts = [results.get(timeout=120) for _ in children]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    results.close()
    results.join_thread()
    return counts


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.name.replace(" ", "-"))
def test_no_event_passes_a_cap_and_all_that_fits_is_claimed(
    race: Race, ledger_url: str, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    start, results = CONTEXT.Barrier(CROWD), CONTEXT.Queue()
    began = time.monotonic()
    moves_on = race.reason is BlockReason.EXPOSED
    arguments = [(ledger_url, number, race.caps, moves_on, start, results) for number in range(CROWD)]
    counts = _in_processes(_claim_and_give_back, arguments)
    duration_s = time.monotonic() - began
    highest = peaks(ledger)
    made = sum(count.made for count in counts)
    assert sum(count.tried for count in counts) == CROWD * TRIES
    assert race.most(highest) <= race.cap
    assert race.most(highest) == (ROOM if race.reason is BlockReason.SLOTS else ROOM * PRICE * MICRO)
    assert sum(count.made > 0 for count in counts) > 1
    assert set().union(*(count.reasons for count in counts)) == {race.reason.value}
    with ledger.read() as connection:
        still = select(func.count()).where(tables.attempts.c.state == S.CLAIMED.value)
        assert connection.execute(still).scalar_one() == ROOM  # every released reservation was claimed again
    assert made > ROOM
    assert check_invariants(ledger) == []
    unit = "tasks" if race.reason is BlockReason.SLOTS else "units"
    cap, most = (race.cap, race.most(highest)) if unit == "tasks" else map(from_micros, (race.cap, race.most(highest)))
    with capsys.disabled():
        print(
            f"\nbudget race on {ledger.dialect}, {race.name}: {CROWD} processes, {CROWD * TRIES} claims tried, {made} "
            f"made in {duration_s:.1f} s; cap {cap} {unit}, most ever {most}",
            flush=True,
        )


def _claim_all(url: str, number: int, paused: Any, begun: Any, results: Any) -> None:
    """Claim each hop, and again for as long as a pause refuses it. `paused` counts such refusals. The second half
    starts once the pause has begun, because otherwise fast processes would be finished before it."""
    ledger = open_ledger(url)
    tried = made = 0
    deadline = time.monotonic() + 90
    try:
        for hop in range(1, TRIES + 1):
            claimed: tuple[Any, ...] = ()
            if hop > TRIES // 2:
                eventually(lambda: begun.value, within=60)
            while not claimed:
                assert time.monotonic() < deadline, "the pause was not lifted"
                result = claim(ledger, request(f"v{number}", hop), owner=f"p{number}", caps={ACCOUNT: _caps()})
                claimed, tried = result.claimed, tried + 1
                assert {refused.reason for refused in result.refused} <= {BlockReason.PAUSED}
                with paused.get_lock():
                    paused.value += len(result.refused)
            made += 1
        results.put(ClaimCounts(tried, made, frozenset()))
    finally:
        ledger.close()


def _pause_in_the_middle(url: str, paused: Any, begun: Any) -> None:
    ledger = open_ledger(url)
    try:
        eventually(lambda: _head(ledger) >= CROWD * 2, within=60)
        with ledger.write(now_ms=NOON, actor="ann") as tx:
            controls.pause(tx, why="let me see")
        begun.value = 1
        eventually(lambda: paused.value >= CROWD * 2, within=60)
        with ledger.write(now_ms=NOON, actor="ann") as tx:
            controls.resume(tx, why="all is well")
    finally:
        ledger.close()


def _head(ledger: Ledger) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(tables.ledger_head.c.seq)).scalar_one())


def test_no_claim_is_numbered_between_a_pause_and_its_end(
    ledger_url: str, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    paused, begun, results = CONTEXT.Value("i", 0), CONTEXT.Value("i", 0), CONTEXT.Queue()
    person = CONTEXT.Process(target=_pause_in_the_middle, args=(ledger_url, paused, begun), daemon=True)
    person.start()
    counts = _in_processes(_claim_all, [(ledger_url, number, paused, begun, results) for number in range(CROWD)])
    person.join(60)
    assert person.exitcode == 0
    assert sum(count.made for count in counts) == CROWD * TRIES
    table = tables.events
    with ledger.read() as connection:
        numbers: dict[str, list[int]] = {}
        for row in connection.execute(select(table.c.kind, table.c.seq).order_by(table.c.seq)):
            numbers.setdefault(row.kind, []).append(row.seq)
    (pause,), (resume,) = numbers["account_paused"], numbers["account_resumed"]
    assert resume == pause + 1  # no event came between them
    before = sum(number < pause for number in numbers["attempt_claimed"])
    after = sum(number > resume for number in numbers["attempt_claimed"])
    assert before >= CROWD * 2
    assert after > 0
    assert before + after == CROWD * TRIES
    tried = sum(count.tried for count in counts)
    with capsys.disabled():
        print(
            f"\npause on {ledger.dialect}: {CROWD} processes, {tried} claims tried, {before} made before the pause, 0 "
            f"of {tried - CROWD * TRIES} in it, {after} afterwards",
            flush=True,
        )
