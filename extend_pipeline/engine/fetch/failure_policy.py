"""Decide about a paid result whose fetch failed: it is tried again, quarantined, or recorded as lost."""

from dataclasses import replace
from enum import StrEnum
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.fetch.fetch import FetchFailure
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import FetchLease
from extend_pipeline.engine.store.restore import lose_or_wait
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read.attempt_row import ScheduledAttempt
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import transitions
from extend_pipeline.providers.registry import spec_of

GONE_AFTER: Final = 3  # refusals of a URL that can't be refreshed; a single one may be a server's error


class FetchDecision(StrEnum):
    """The consequence of a failed fetch."""

    AGAIN = "again"
    LOST = "lost"
    QUARANTINED = "quarantined"


def is_over(expires_at: int | None, now_ms: int) -> bool:
    """Return whether a result has expired."""
    return expires_at is not None and now_ms >= expires_at


def handle_failed_fetch(
    pipeline: Pipeline, due: ScheduledAttempt, lease: FetchLease, failure: FetchFailure, expires_at: int | None
) -> FetchDecision:
    """Schedule another try while the result may still be available; otherwise record it as quarantined or lost.

    It is quarantined when the same invalid bytes came twice, from two URLs, because the provider has nothing else. It
    is lost once its host or its provider has reported for `lost_after_s` without a break that it is gone, and it has
    expired or the provider gives no other URL. Both wait for the operator. An outage on either side never marks a
    result as lost, even past its expiry. A worker that has lost its lease must not decide either, because another
    worker may be downloading the file. A stored result whose file is missing stays stored; only the file is lost.
    """
    attempt, before, now_ms = due.attempt, due.look, pipeline.now_ms()
    since_ms = now_ms if before.refused_since is None else before.refused_since
    refusals = before.refusals + 1 if failure.stale_url else 0
    is_long = now_ms - since_ms >= pipeline.settings.lost_after_s * 1000
    no_other_url = not spec_of(attempt.provider).refreshes_urls and refusals >= GONE_AFTER
    gone = failure.stale_url and is_long and (no_other_url or is_over(expires_at, now_ms))
    same = failure.sha256 is not None and before.sha256 == failure.sha256
    tries = 0 if failure.progress else before.tries + 1  # a try that made progress is no failure
    due_at = schedule.next_fetch(tries=tries, now_ms=now_ms)
    look = _last_look(failure, tries, refusals, since_ms)
    if attempt.state is S.STORED:
        look = replace(look, tries=before.tries + 1)
        is_lost = lose_or_wait(pipeline, attempt, lease, failure, over=gone or same, due_at=due_at, look=look)
        return FetchDecision.LOST if is_lost else FetchDecision.AGAIN
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        if not lease.is_valid(tx):
            return FetchDecision.AGAIN
        data = {"error_message": failure.message}
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


def _last_look(failure: FetchFailure, tries: int, refusals: int, since_ms: int) -> LastLook:
    """Return the result of a failed fetch for the next decision."""
    if failure.sha256:
        return LastLook(failure.message, LookCause.INVALID_FILE, tries, sha256=failure.sha256)
    if refusals:
        note = f"reported as gone, in a row: {refusals} since {from_ms(since_ms).isoformat()}; {failure.message}"
        return LastLook(note, LookCause.SAID_GONE, tries, refusals, since_ms)
    return LastLook(failure.message, LookCause.FETCH_REFUSED if failure.refused else None, tries)
