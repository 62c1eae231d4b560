"""How a request ended, and what it cost: for the page of its partition. Nothing here uses Dagster."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from extend_pipeline.base.units import amount_micros, from_micros
from extend_pipeline.engine.plan.hop_state import UNCLEAR_VALUE
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import LIVE, AttemptState

_UNDER_WAY: Final = LIVE - {AttemptState.SUCCEEDED}
_SAME: Final = {
    AttemptState.PROCESSING: AttemptState.SUBMITTED,
    AttemptState.STORED: AttemptState.SUCCEEDED,
}
_WORDS: Final[Mapping[AttemptState, str]] = {
    AttemptState.CLAIMED: "is about to be sent",
    AttemptState.SENDING: "is being sent",
    AttemptState.IN_DOUBT: "is in doubt, and may or may not have been accepted",
    AttemptState.SUBMITTED: "is at the provider",
    AttemptState.SUCCEEDED: "is made",
    AttemptState.FAILED: "failed at the provider",
    AttemptState.REJECTED: "was refused",
    AttemptState.RELEASED: "was not sent, or is proved absent at the provider",
    AttemptState.RESULT_LOST: "was made, and its film is no longer available",
    AttemptState.QUARANTINED: "was made, and what came is no valid film",
    AttemptState.WRITTEN_OFF: "was written off",
}


class Charge(StrEnum):
    """What a request costs, as far as that is known."""

    RESERVED = "reserved"  # it is under way
    IN_DOUBT = "in doubt"
    CHARGED = "charged"
    NOT_CHARGED = "not charged"
    NOT_KNOWN = "not known yet"  # it failed, and only a bill tells; the units stay reserved

    @property
    def is_known(self) -> bool:
        """Return whether it is final, apart from corrections by a bill."""
        return self in (Charge.CHARGED, Charge.NOT_CHARGED)


class Spent(NamedTuple):
    """What was booked for an attempt, adjustments included, in millionths."""

    micros: int
    amount_micros: int


_VERBS: Final[Mapping[Charge, str]] = {
    Charge.RESERVED: "reserved",
    Charge.IN_DOUBT: "charge in doubt, reserved",
    Charge.CHARGED: "charged",
    Charge.NOT_CHARGED: "not charged",
    Charge.NOT_KNOWN: "charge not known yet, reserved",
}


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """How an attempt ended, or where it is, and what was booked for it, in millionths."""

    attempt: AttemptRow
    micros: int
    amount_micros: int

    @property
    def state(self) -> AttemptState:
        """Return the state as far as the request is concerned: progress at the provider and the fetch of the film do
        not change it."""
        return _SAME.get(self.attempt.state, self.attempt.state)

    @property
    def words(self) -> str:
        """Return the end in words for the page of the request."""
        is_refused = self.state is AttemptState.RELEASED and self.attempt.error_reason == UNCLEAR_VALUE
        return _WORDS[AttemptState.REJECTED if is_refused else self.state]

    @property
    def version(self) -> str | list[object]:
        """Return what changes with the state and with what is charged."""
        if self.charge in (Charge.RESERVED, Charge.IN_DOUBT):
            return self.state.value
        return [self.state.value, self.charge.value, self.micros]

    @property
    def charge(self) -> Charge:
        """Return whether it was charged."""
        if self.micros:
            return Charge.CHARGED
        if self.attempt.state is AttemptState.IN_DOUBT:
            return Charge.IN_DOUBT
        if self.attempt.state is AttemptState.FAILED and self.attempt.settled_micros is None:
            return Charge.NOT_KNOWN
        return Charge.RESERVED if self.attempt.state in _UNDER_WAY else Charge.NOT_CHARGED

    @property
    def shown(self) -> Spent:
        """Return what was charged, or what is reserved while that is not known."""
        if self.charge.is_known:
            return Spent(self.micros, self.amount_micros)
        predicted, price = self.attempt.predicted_micros, self.attempt.unit_price_micros
        return Spent(predicted, amount_micros(units_micros=predicted, unit_price_micros=price))

    @property
    def units(self) -> str:
        """Return the units that were charged, or that are reserved while that is not known."""
        return f"{from_micros(self.shown.micros)} {self.attempt.unit}"

    @property
    def amount(self) -> str:
        """Return the amount of the units, and what it is based on."""
        amount = f"{from_micros(self.shown.amount_micros)} {self.attempt.currency}"
        if not self.charge.is_known:
            return f"{amount} (predicted)"
        return f"{amount} ({self.attempt.units_basis})" if self.micros else amount

    @property
    def error(self) -> str | None:
        """Return the provider's own words about what went wrong; None where a film was made."""
        return None if self.state is AttemptState.SUCCEEDED else self.attempt.error_message

    def describe(self) -> str:
        """Return a sentence for the list of the partition's events."""
        error = f": {self.error}" if self.error else ""
        return f"hop {self.attempt.hop} {self.words}; {self.describe_charge()}{error}"

    def describe_charge(self) -> str:
        """Return the part of a sentence that tells the charge."""
        units = "" if self.charge is Charge.NOT_CHARGED else f" {self.units} = {self.amount}"
        return f"{_VERBS[self.charge]}{units}"


def booked(attempt: AttemptRow) -> RequestEnd:
    """Return how an attempt ended by its own row alone, without what a bill has corrected since."""
    micros = attempt.settled_micros or 0
    amount = amount_micros(units_micros=micros, unit_price_micros=attempt.unit_price_micros)
    return RequestEnd(attempt, micros, amount)
