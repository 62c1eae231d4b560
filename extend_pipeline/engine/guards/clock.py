"""Faults of this machine that end without the provider: stops for the clock, a certificate or a proxy are lifted
automatically, and a ledger whose last event is dated after now is reported."""

from collections.abc import Collection

from extend_pipeline.base.wording import counted
from extend_pipeline.engine.guards.keys import may_ask_stopped, send_free_query
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.clock import is_ahead
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import controls
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.providers.protocol import QueryFailed, QueryFault

OF_THIS_MACHINE = frozenset({QueryFault.CLOCK.value, QueryFault.CERTIFICATE.value, QueryFault.PROXY.value})
"""Reasons of stops that end without an action of the provider."""


def lift_own_stops(pipeline: Pipeline, accounts: Collection[str]) -> list[str]:
    """Lift stops for a wrong clock, an untrusted certificate or a proxy when a free query to the provider succeeds.
    It is sent at most once in 10 s. Return the accounts whose stop was lifted."""
    with pipeline.ledger.read() as connection:
        rows = queries.accounts(connection)
    stopped = {name: rows[name].stopped_reason for name in accounts if name in rows}
    lifted = []
    for name, reason in stopped.items():
        if reason is None or reason not in OF_THIS_MACHINE or not may_ask_stopped(pipeline, name):
            continue
        if isinstance(send_free_query(pipeline.provider(name)), QueryFailed):
            continue
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            controls.lift_stop(tx, name, reason=reason)
            job_queue.make_due(tx, name)  # its polls failed for the same reason
        lifted.append(name)
    return lifted


def ledger_ahead_ms(pipeline: Pipeline) -> int:
    """Return by how many ms the ledger's last event is dated after now; 0 when it isn't, or by less than the tolerated
    clock difference."""
    with pipeline.ledger.read() as connection:
        last_ms = queries.last_event_at(connection)
    now_ms = pipeline.now_ms()
    return last_ms - now_ms if last_ms is not None and is_ahead(last_ms, now_ms) else 0


def describe_ahead(ahead_ms: int) -> str:
    """Return a text about a ledger whose last event is dated `ahead_ms` after now: the cause, and what to do."""
    minutes = ahead_ms // 60_000
    span = counted(minutes, "minute") if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
    return (
        f"the ledger's last event is dated {span} after now: a clock was ahead when it was written, or this machine's "
        "is behind now. What was due later is done now. Set the clocks of all machines by NTP"
    )
