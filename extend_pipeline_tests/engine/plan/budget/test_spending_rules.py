"""Each reason that a rule of spending gives has a text, and a plan reserves what a claim then takes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from extend_pipeline.engine.plan.budget import TEXTS
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read.account_totals import account_totals
from extend_pipeline.ledger.spending_rules import (
    NO_LIMITS,
    AccountTotals,
    BlockReason,
    BudgetLimits,
    Spending,
    block_reason,
)
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.providers.protocol import RejectReason
from extend_pipeline_tests.support.ledger.steps import NOON, claim, move, request, send

MICROS = st.integers(0, 12)
TOTALS = st.builds(
    AccountTotals,
    limits=st.just(NO_LIMITS) | st.builds(BudgetLimits, MICROS, MICROS, st.integers(1, 3), MICROS),
    everything_paused=st.booleans(),
    paused=st.booleans(),
    stopped_reason=st.none() | st.sampled_from([reason.value for reason in RejectReason]),
    stopped_message=st.just("because"),
    committed_micros=MICROS,
    committed_today_micros=MICROS,
    in_flight=st.integers(0, 4),
    backing_off_until=st.none() | st.integers(NOON - 9, NOON + 9),
    probing=st.booleans(),
    has_unsent=st.booleans(),
    in_doubt_micros=MICROS,
    sending_micros=MICROS,
)


@settings(max_examples=500, deadline=None)
@given(st.builds(Spending, st.integers(1, 12), st.sampled_from("ACD"), TOTALS, st.just(NOON)))
def test_every_reason_of_a_rule_has_a_text_and_allowed_spending_keeps_the_limits(spending: Spending) -> None:
    reason = block_reason(spending)
    if reason is not None:
        blocker = TEXTS[reason]("k", spending)
        assert blocker.reason in (reason, BlockReason.WRONG_CLOCK)
        assert blocker.message
        assert blocker.todo
        return
    after = spending.account.with_claim(spending.price_micros)
    assert after.committed_micros <= after.limits.total_micros
    assert after.committed_today_micros <= after.limits.per_day_micros
    assert after.in_doubt_micros + after.sending_micros <= after.limits.exposure_micros
    assert after.in_flight <= after.limits.max_in_flight
    assert (after.paused, after.everything_paused, after.stopped_reason) == (False, False, None)


def test_what_a_plan_reserves_is_what_the_ledger_has_after_the_claim(ledger: Ledger) -> None:
    def totals() -> AccountTotals:
        with ledger.read() as connection:
            return account_totals(connection, ["kling-main"], NOON, zone="UTC")["kling-main"]

    claim(ledger, first := request("a"))
    send(ledger, first.attempt_id)
    move(ledger, first.attempt_id, AttemptState.IN_DOUBT)
    before = totals()
    assert (before.in_doubt_micros, before.sending_micros, before.has_unsent) == (2_000_000, 0, False)
    claim(ledger, request("b"))
    assert totals() == before.with_claim(2_000_000)
