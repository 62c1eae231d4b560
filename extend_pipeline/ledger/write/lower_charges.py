"""Prices that a provider charged below those in accounts.yaml. Each is recorded once, for all steps it was charged
for."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.attempt_row import AttemptRow


@dataclass(frozen=True, slots=True)
class LowerCharge:
    """A price below the prediction, in micro-units, with the first attempt and time (UTC ms) of such a charge."""

    account: str
    price_key: str
    charged_micros: int
    predicted_micros: int
    unit: str
    attempt_id: str
    at: int
    seq: int


def record(
    tx: LedgerTransaction, attempt: AttemptRow, *, price_key: str, charged_micros: int, predicted_micros: int
) -> bool:
    """Record that an attempt was charged less than predicted (micro-units). Return False if this price of the
    account is recorded already."""
    table = tables.lower_charges
    same = (
        (table.c.account == attempt.account)
        & (table.c.price_key == price_key)
        & (table.c.charged_micros == charged_micros)
    )
    if tx.connection.execute(select(table.c.seq).where(same)).first() is not None:
        return False
    data = {
        "price_key": price_key,
        "charged_micros": charged_micros,
        "predicted_micros": predicted_micros,
        "unit": attempt.unit,
    }
    tx.append(
        "charged_less", attempt_id=attempt.attempt_id, video_key=attempt.video_key, account=attempt.account, data=data
    )
    return True


_SINCE: Final = (
    select(tables.lower_charges)
    .where(tables.lower_charges.c.at >= bindparam("at_ms"))
    .order_by(tables.lower_charges.c.at.desc(), tables.lower_charges.c.seq)
)


def since(connection: Connection, at_ms: int) -> list[LowerCharge]:
    """Return the lower prices first charged at a moment (UTC ms) or later, newest first."""
    return [LowerCharge(*row) for row in connection.execute(_SINCE, {"at_ms": at_ms})]
