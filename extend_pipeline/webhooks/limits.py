"""How much the receiver lets anybody have of it. Everything that an outsider can make grow is bounded here."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.providers.wire.callback_body import BODY_CAP


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the receiver; times in seconds, sizes in bytes."""

    body: int = BODY_CAP
    drained: int = 1_048_576  # read and thrown away of a body that is too long, so that its sender hears the answer
    body_s: float = 10.0  # for the whole body; an upstream sends 2 kB at once
    ledger_s: float = 10.0  # then the answer goes out, and the callback is kept when the ledger is free
    answer_s: float = 0.1  # no answer is quicker: longer than a commit takes, so that time tells nobody what was found
    connections: int = 256  # beyond them, a connection is answered unread
    connection_s: float = 30.0  # from the first byte to the last, however slowly anybody speaks
    waiting: int = 16_777_216  # of bodies that wait for the ledger; beyond them callbacks are dropped
    batch: int = 256  # callbacks a transaction
