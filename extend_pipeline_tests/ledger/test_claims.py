"""Claims keep within every cap however many claim at once; pauses, stops and backoffs hold from the next claim on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason, BudgetLimits
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.support.ledger.steps import NOON, claim, move, request, send, submit
from extend_pipeline_tests.support.processes.children import CONTEXT

S = AttemptState
DAY_MS = 86_400_000
CROWD = 20


def caps(*, per_day: int = 10**12, total: int = 10**12, slots: int = 10**4) -> dict[str, BudgetLimits]:
    """Return caps of the only account; a claim takes two units."""
    return {"kling-main": BudgetLimits(per_day * 1_000_000, total * 1_000_000, slots, total * 1_000_000)}


def reasons(result: Any) -> list[BlockReason]:
    return [refused.reason for refused in result.refused]


def _claim_in_child(url: str, number: int, allowed: dict[str, BudgetLimits], start: Any, results: Any) -> None:
    ledger = open_ledger(url)
    try:
        start.wait(30)
        claimed = 0
        for hop in (1, 2):
            claimed += len(claim(ledger, request(f"v{number}", hop), owner=f"child-{number}", caps=allowed).claimed)
        results.put(claimed)
    finally:
        ledger.close()


def _is_full(ledger: Ledger, claimed: list[int]) -> None:
    """Assert that thirteen claims fitted and thirteen were made."""
    assert sum(claimed) == 13
    assert check_invariants(ledger) == []
    with ledger.read() as connection:
        row = connection.execute(select(tables.accounts)).one()
    assert (row.committed_micros, row.in_flight) == (26_000_000, 13)


def test_twenty_processes_that_claim_at_once_never_pass_the_budget_of_a_day(ledger_url: str, ledger: Ledger) -> None:
    start, results = CONTEXT.Barrier(CROWD), CONTEXT.Queue()
    arguments = (caps(per_day=26), start, results)
    children = [
        CONTEXT.Process(target=_claim_in_child, args=(ledger_url, number, *arguments), daemon=True)
        for number in range(CROWD)
    ]
    for child in children:
        child.start()
    claimed = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    results.close()
    results.join_thread()
    assert sum(count > 0 for count in claimed) > 1
    _is_full(ledger, claimed)


@pytest.mark.parametrize("allowed", [caps(total=27), caps(slots=13)], ids=["total", "slots"])
def test_twenty_threads_that_claim_at_once_never_pass_a_cap(allowed: dict[str, BudgetLimits], ledger: Ledger) -> None:
    start = threading.Barrier(CROWD)

    def claim_two_hops(number: int) -> int:
        start.wait(30)
        results = [claim(ledger, request(f"v{number}", hop), caps=allowed) for hop in (1, 2)]
        return sum(len(result.claimed) for result in results)

    with ThreadPoolExecutor(CROWD) as pool:
        _is_full(ledger, list(pool.map(claim_two_hops, range(CROWD))))


def test_twenty_threads_that_claim_one_extension_get_it_once(ledger: Ledger) -> None:
    start = threading.Barrier(CROWD)

    def claim_extension(number: int) -> int:
        start.wait(30)
        return len(claim(ledger, request(), owner=f"thread-{number}").claimed)

    with ThreadPoolExecutor(CROWD) as pool:
        assert sum(pool.map(claim_extension, range(CROWD))) == 1
    assert check_invariants(ledger) == []


def test_a_group_is_claimed_as_far_as_it_fits_in_its_order(ledger: Ledger) -> None:
    result = claim(ledger, *(request(key) for key in "abcde"), caps=caps(per_day=6))
    assert [attempt.video_key for attempt in result.claimed] == ["a", "b", "c"]
    assert reasons(result) == [BlockReason.DAY_BUDGET] * 2
    beyond_total = claim(ledger, request("d"), caps=caps(per_day=6, total=6))
    assert reasons(beyond_total) == [BlockReason.TOTAL_BUDGET]


def test_a_day_begins_at_midnight_utc_and_a_total_never(ledger: Ledger) -> None:
    tight = caps(per_day=2, total=6)
    midnight = (NOON // DAY_MS + 1) * DAY_MS
    assert claim(ledger, request("a"), caps=tight, now_ms=midnight - 1).claimed
    assert reasons(claim(ledger, request("b"), caps=tight, now_ms=midnight - 1)) == [BlockReason.DAY_BUDGET]
    assert claim(ledger, request("b"), caps=tight, now_ms=midnight).claimed
    assert claim(ledger, request("c"), caps=tight, now_ms=midnight + DAY_MS).claimed
    late = claim(ledger, request("d"), caps=tight, now_ms=midnight + 2 * DAY_MS)
    assert reasons(late) == [BlockReason.TOTAL_BUDGET]


def test_a_released_reservation_can_be_claimed_again_and_one_in_doubt_can_not(ledger: Ledger) -> None:
    tight = caps(total=2, slots=1)
    slots = caps(slots=1)
    first = request("a")
    claim(ledger, first, caps=tight)
    send(ledger, first.attempt_id)
    move(ledger, first.attempt_id, S.IN_DOUBT)
    assert reasons(claim(ledger, request("b"), caps=slots)) == [BlockReason.SLOTS]
    assert reasons(claim(ledger, request("b"), caps=tight)) == [BlockReason.TOTAL_BUDGET]
    move(ledger, first.attempt_id, S.RELEASED)
    assert claim(ledger, request("b"), caps=tight).claimed
    assert check_invariants(ledger) == []


def test_an_account_without_caps_is_never_claimed_for(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        claim(ledger, request(), caps={"another": BudgetLimits(10**9, 10**9, 9, 10**9)})
    with ledger.read() as connection:
        assert connection.execute(select(tables.attempts)).first() is None


@pytest.mark.parametrize("account", ["kling-main", tables.ALL_ACCOUNTS])
def test_a_pause_holds_from_the_next_claim_on_and_is_lifted_by_a_person(ledger: Ledger, account: str) -> None:
    assert claim(ledger, request("a")).claimed
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        controls.pause(tx, account, why="the bill")
    assert reasons(claim(ledger, request("b"), request("c"))) == [BlockReason.PAUSED] * 2
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        assert controls.resume(tx, why="paid") == [account]
        assert controls.resume(tx, why="paid") == []
    assert claim(ledger, request("b")).claimed


def test_a_stop_is_recorded_once_and_holds_until_a_person_resumes(ledger: Ledger) -> None:
    for message in ("arrears", "arrears again"):
        with ledger.write(now_ms=NOON, actor="me") as tx:
            controls.stop_account(tx, "kling-main", reason="balance", message=message)
    assert reasons(claim(ledger, request("a"))) == [BlockReason.ACCOUNT_STOPPED]
    with ledger.read() as connection:
        kinds = list(connection.execute(select(tables.events.c.kind)).scalars())
        assert connection.execute(select(tables.accounts.c.stopped_message)).scalar_one() == "arrears"
    assert kinds == ["account_stopped"]
    with ledger.write(now_ms=NOON, actor="ann") as tx:
        assert controls.resume(tx, "another", why="") == []
        assert controls.resume(tx, "kling-main", why="paid") == ["kling-main"]
    assert claim(ledger, request("a")).claimed


def test_a_backoff_ends_with_one_probe_and_its_success_allows_all_claims(ledger: Ledger) -> None:
    def back_off(at: int, wait_ms: int) -> None:
        with ledger.write(now_ms=at, actor="me") as tx:
            controls.back_off(tx, "kling-main", wait_ms=wait_ms, note="rate")

    back_off(NOON, 1_000)
    back_off(NOON + 10, 50_000)  # the same burst: one failure, and the backoff that was set first
    assert reasons(claim(ledger, request("a"), now_ms=NOON + 999)) == [BlockReason.BACKOFF]
    probing = claim(ledger, request("a"), request("b"), now_ms=NOON + 1_000)
    assert [attempt.video_key for attempt in probing.claimed] == ["a"]
    assert reasons(probing) == [BlockReason.BACKOFF]
    assert reasons(claim(ledger, request("b"), now_ms=NOON + 1_001)) == [BlockReason.BACKOFF]
    (probe,) = probing.claimed
    send(ledger, probe.attempt_id, now_ms=NOON + 1_001)
    assert reasons(claim(ledger, request("b"), now_ms=NOON + 1_002)) == [BlockReason.BACKOFF]
    move(ledger, probe.attempt_id, S.REJECTED, error_reason="rate")
    back_off(NOON + 1_100, 2_000)
    with ledger.write(now_ms=NOON, actor="me") as tx:
        assert controls.backoff_failures(tx, "kling-main") == 2
    again = request("a", try_no=2, last_attempt_id=probe.attempt_id)
    assert claim(ledger, again, now_ms=NOON + 3_100).claimed
    send(ledger, again.attempt_id, now_ms=NOON + 3_101)
    submit(ledger, again.attempt_id, now_ms=NOON + 3_102)
    with ledger.write(now_ms=NOON + 3_102, actor="me") as tx:
        controls.clear_backoff(tx, "kling-main")
    assert len(claim(ledger, request("b"), request("c"), now_ms=NOON + 3_103).claimed) == 2


def test_a_claim_made_from_an_old_plan_is_refused(ledger: Ledger) -> None:
    first = request("a")
    claim(ledger, first)
    move(ledger, first.attempt_id, S.RELEASED)
    stale = request("a", try_no=2)  # this plan has not seen the first
    assert reasons(claim(ledger, stale)) == [BlockReason.CHANGED]
    assert claim(ledger, request("a", try_no=2, last_attempt_id=first.attempt_id)).claimed
