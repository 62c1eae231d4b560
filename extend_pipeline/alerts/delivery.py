"""What a receiver of alerts is, and the results of a delivery. Imports no HTTP library."""

from dataclasses import dataclass
from typing import Protocol

from extend_pipeline.alerts.message import Message


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has the message. `note` is what it said."""

    note: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """The receiver may not have the message. `is_setting` says that nothing was tried, because a setting of this
    machine has to change first; `is_rejected` that the receiver will take it no more willingly later."""

    reason: str
    is_setting: bool = False
    is_rejected: bool = False


Delivery = Delivered | Undelivered


class Receiver(Protocol):
    """A receiver that accounts.yaml names."""

    @property
    def name(self) -> str:
        """Return the name of its kind: webhook or command."""
        ...

    @property
    def settings_digest(self) -> str:
        """Return a text that changes when its settings do, and contains no secret."""
        ...

    def fault(self) -> str:
        """Return which setting of this machine keeps it from being tried; empty if none does."""
        ...

    def deliver(self, message: Message, *, now_ms: int) -> Delivery:
        """Send a message; blocks for a bounded time, and raises nothing."""
        ...
