"""Compare what a provider charged for a step with the prediction. A charge above the tolerance stops the account; a
lower one is booked and reported once."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from extend_pipeline.base.units import from_micros
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.price import Price
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.reconciliation_queries import ChargedAttempt
from extend_pipeline.ledger.write import controls, lower_charges
from extend_pipeline.providers.registry import spec_of

ODD_DEDUCTION: Final = "odd_deduction"

SHOWN_MS: Final = 30 * 86_400_000
"""A lower price is shown for 30 days after it was first charged, unless accounts.yaml has it by then."""


class Deduction(StrEnum):
    """How a charge compares with its prediction."""

    AS_PREDICTED = "as_predicted"  # or within the account's tolerance
    LESS = "less"
    MORE = "more"


def classify_deduction(charged: int, predicted: int, *, tolerance: int) -> Deduction:
    """Compare a charge with its prediction; all in micro-units."""
    if abs(charged - predicted) <= tolerance:
        return Deduction.AS_PREDICTED
    return Deduction.LESS if charged < predicted else Deduction.MORE


def check_deduction(
    tx: LedgerTransaction,
    account: Account,
    attempt: AttemptRow | ChargedAttempt,
    charged: int | None,
    *,
    expected: int | None = None,
) -> None:
    """Stop the account where the charge exceeds the prediction (`expected`, in micro-units) by more than the tolerance,
    because the next steps would also cost more than planned. Record a lower price once. Adopted tasks are left out,
    because they have no prediction."""
    if attempt.is_adopted or charged is None:
        return
    predicted = attempt.predicted_micros if expected is None else expected
    match classify_deduction(charged, predicted, tolerance=account.tolerance_micros):
        case Deduction.AS_PREDICTED:
            pass
        case Deduction.LESS:
            row = queries.attempt(tx.connection, attempt.attempt_id)
            assert row is not None
            key = spec_of(row.provider).price_key(row.mode, json.loads(row.params)) or ""
            lower_charges.record(tx, row, price_key=key, charged_micros=charged, predicted_micros=predicted)
        case Deduction.MORE:
            message = (
                f"{attempt.video_key}/{attempt.hop} (task {attempt.task_id}) was charged {from_micros(charged)} "
                f"{attempt.unit}, "
                f"{from_micros(predicted)} were predicted; look at price and tolerance in accounts.yaml"
            )
            controls.stop_account(tx, account.name, reason=ODD_DEDUCTION, message=message)


@dataclass(frozen=True, slots=True)
class LowerPrice:
    """A charged price below the one in accounts.yaml, in units. `line` is the line to write there; it is empty where
    nothing was charged, because no plan can use a price of 0."""

    account: str
    price_key: str
    unit: str
    charged: Decimal
    predicted: Decimal
    first_at_ms: int
    line: str

    @property
    def message(self) -> str:
        """Return a sentence on what was charged and what to write."""
        what = f"account {self.account}{f' ({self.price_key})' if self.price_key else ''}"
        charged = f"{what} was charged {self.charged:f} {self.unit}, {self.predicted:f} were predicted"
        plan = f"to plan with it, write price.{self.line} in accounts.yaml" if self.line else "plans keep the price"
        return f"{charged}; it is booked as charged, and work goes on; {plan}"


def lower_prices_now(pipeline: Pipeline, *, since_ms: int | None = None) -> tuple[LowerPrice, ...]:
    """Return the lower prices that were first charged since `since_ms` (UTC ms; 30 days ago by default) and that
    accounts.yaml doesn't have."""
    with pipeline.ledger.read() as connection:
        rows = lower_charges.since(connection, pipeline.now_ms() - SHOWN_MS if since_ms is None else since_ms)
    prices = {name: account.price for name, account in pipeline.accounts.items()}
    return tuple(
        LowerPrice(
            row.account,
            row.price_key,
            row.unit,
            from_micros(row.charged_micros),
            from_micros(row.predicted_micros),
            row.at,
            price_line(prices[row.account], row.price_key, row.charged_micros),
        )
        for row in rows
        if row.account in prices and row.charged_micros < (prices[row.account].quote(row.price_key or None) or 0)
    )


def price_line(price: Price, key: str, charged_micros: int) -> str:
    """Return the line of accounts.yaml with the lower price: `per_extension: {std: 1.5, pro: 3.5}`."""
    if charged_micros <= 0:
        return ""
    amounts = price.per_extension_micros
    if not isinstance(amounts, Mapping) or not key:
        return f"per_extension: {from_micros(charged_micros):f}"
    lower = {**amounts, key: charged_micros}
    return f"per_extension: {{{', '.join(f'{name}: {from_micros(micros):f}' for name, micros in lower.items())}}}"
