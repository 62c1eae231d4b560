"""Limits on every resource of the receiver that a sender could use up."""

from dataclasses import dataclass

from extend_pipeline.providers.wire.callback_body import BODY_CAP


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the receiver; times in seconds, sizes in bytes."""

    max_body: int = BODY_CAP
    max_drained: int = 1_048_576  # of a body that is too long: read and discarded, so that its sender gets the response
    body_timeout_s: float = 10.0  # for the whole body; an upstream sends 2 kB at once
    ledger_wait_s: float = 10.0  # then the response is sent, and the callback is stored once the ledger is free
    min_response_s: float = 0.1  # longer than a commit takes, so that the time doesn't show what was looked up
    max_connections: int = 256  # a further connection gets its response before it is read
    connection_timeout_s: float = 30.0  # from the first byte to the last
    max_queued: int = 16_777_216  # bytes of requests that wait for the ledger; a further callback is dropped
    batch_size: int = 256  # callbacks per transaction
