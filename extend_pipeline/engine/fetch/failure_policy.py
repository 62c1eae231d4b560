"""What becomes of a paid result that could not be fetched: it is tried again, or it is lost, and who may say so."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.fetch.fetch import FetchFailure
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import Lease
from extend_pipeline.engine.store.restore import lose_or_wait
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read.attempt_row import ScheduledAttempt
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.providers.registry import spec_of

S = AttemptState

GONE_AFTER: Final = 3  # refusals of a URL that can't be refreshed; one may be a server's bad moment


class FetchDecision(StrEnum):
    """What follows from a failed fetch."""

    AGAIN = "again"
    LOST = "lost"
    QUARANTINED = "quarantined"


def is_over(expires_at: int | None, now_ms: int) -> bool:
    """Return whether a result is past its keeping time."""
    return expires_at is not None and now_ms >= expires_at


def handle_failed_fetch(
    pipeline: Pipeline, due: ScheduledAttempt, lease: Lease, missed: FetchFailure, expires_at: int | None
) -> FetchDecision:
    """Wait and try again while there is hope. The same unsound bytes twice, from two URLs, are what the provider has.

    A result is lost once its host or its provider has said for `lost_after_s` without a break that it is gone: past its
    keeping time, or where the provider has no other URL to give. Both are said loudly and wait for a person. An outage
    on either side never marks a result as lost, even past its keeping time. A worker that has lost its lease must not
    decide either: another one may be downloading the file. A result that was stored and whose file is missing stays
    stored; the file is what is lost.
    """
    attempt, before, now_ms = due.attempt, due.look, pipeline.now_ms()
    since_ms = now_ms if before.refused_since is None else before.refused_since
    refusals = before.refusals + 1 if missed.stale_url else 0
    patient = now_ms - since_ms >= pipeline.settings.lost_after_s * 1000
    no_other = not spec_of(attempt.provider).refreshes_urls and refusals >= GONE_AFTER
    gone = missed.stale_url and patient and (no_other or is_over(expires_at, now_ms))
    same = missed.sha256 is not None and before.sha256 == missed.sha256
    tries = 0 if missed.progress else before.tries + 1  # a try that brought something is no failure
    due_at = schedule.next_fetch(tries=tries, now_ms=now_ms)
    look = _look(missed, tries, refusals, since_ms)
    if attempt.state is S.STORED:
        look = replace(look, tries=before.tries + 1)
        is_lost = lose_or_wait(pipeline, attempt, lease, missed, over=gone or same, due_at=due_at, look=look)
        return FetchDecision.LOST if is_lost else FetchDecision.AGAIN
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        if not lease.is_valid(tx):
            return FetchDecision.AGAIN
        data = {"error_message": missed.message}
        if same:
            data["error_reason"] = "unsound_file"
            transitions.move(tx, attempt.attempt_id, to=S.QUARANTINED, expect=frozenset({S.SUCCEEDED}), data=data)
        elif gone:
            data["error_reason"] = "expired"
            transitions.move(tx, attempt.attempt_id, to=S.RESULT_LOST, expect=frozenset({S.SUCCEEDED}), data=data)
        else:
            transitions.schedule(tx, attempt.attempt_id, account=attempt.account, due_at=due_at, look=look)
            return FetchDecision.AGAIN
        transitions.unschedule(tx, attempt.attempt_id)
        return FetchDecision.QUARANTINED if same else FetchDecision.LOST


def _look(missed: FetchFailure, tries: int, refusals: int, since_ms: int) -> LastLook:
    """Return what a failed fetch leaves for the next one."""
    if missed.sha256:
        return LastLook(missed.message, LookCause.INVALID_FILE, tries, sha256=missed.sha256)
    if refusals:
        note = f"said to be gone, in a row: {refusals} since {from_ms(since_ms).isoformat()}; {missed.message}"
        return LastLook(note, LookCause.SAID_GONE, tries, refusals, since_ms)
    return LastLook(missed.message, LookCause.FETCH_REFUSED if missed.refused else None, tries)
