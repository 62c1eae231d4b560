"""What becomes of a paid result that could not be fetched: it is tried again, or it is lost, and who may say so."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row

from extend_pipeline.base.units import from_ms, to_ms
from extend_pipeline.engine.fetch.fetch import FetchFailure
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import FETCH_REFUSED, SAID_GONE
from extend_pipeline.engine.polling.lease import Lease
from extend_pipeline.engine.polling.schedule import FETCH_FIRST_MS, FETCH_MAX_MS
from extend_pipeline.engine.store.restore import lose_or_wait
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.providers.registry import spec_of

S = AttemptState

GONE_AFTER: Final = 3  # refusals of a URL that can't be refreshed; one may be a server's bad moment
_GONE_NOTE: Final = re.compile(rf"{SAID_GONE}(\d+) since (\S+);")


def is_over(expires_at: int | None, now_ms: int) -> bool:
    """Whether a result is past its keeping time."""
    return expires_at is not None and now_ms >= expires_at


def handle_failed_fetch(
    pipeline: Pipeline, row: Row[Any], hold: Lease, missed: FetchFailure, expires_at: int | None
) -> str:
    """Wait and try again while there is hope. The same unsound bytes twice, from two URLs, are what the provider has.

    A result is lost once its host or its provider has said for `lost_after_s` without a break that it is gone: past its
    keeping time, or where the provider has no other URL to give. Both are said loudly and wait for a person. An outage
    on either side never marks a result as lost, even past its keeping time. A worker that has lost its hold must not
    decide either: another one may be downloading the file. A result that was stored and whose file is missing stays
    stored; the file is what is lost. Return `again`, `lost` or `quarantined`.
    """
    now_ms = pipeline.now_ms()
    refusals, since_ms = _refusals(row.note) or (0, now_ms)
    refusals = refusals + 1 if missed.stale_url else 0
    patient = now_ms - since_ms >= pipeline.settings.lost_after_s * 1000
    no_other = not spec_of(row.provider).refreshes_urls and refusals >= GONE_AFTER
    tries = 0 if missed.progress else row.tries + 1  # a try that brought something is no failure
    gap = min(FETCH_FIRST_MS * 2 ** min(max(tries - 1, 0), 10), FETCH_MAX_MS)
    note = f"{FETCH_REFUSED}{missed.message}" if missed.refused else missed.message
    if missed.sha256:
        note = f"unsound {missed.sha256} {missed.message}"
    elif refusals:
        note = f"{SAID_GONE}{refusals} since {from_ms(since_ms).isoformat()}; {missed.message}"
    gone = missed.stale_url and patient and (no_other or is_over(expires_at, now_ms))
    same = missed.sha256 is not None and row.note.startswith("unsound ") and row.note.split(" ")[1] == missed.sha256
    if row.state == S.STORED.value:
        return lose_or_wait(pipeline, row, hold, missed, over=gone or same, gap_ms=gap, note=note)
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        if not hold.held(tx):
            return "again"
        data = {"error_message": missed.message}
        if same:
            data["error_reason"] = "unsound_file"
            transitions.move(tx, row.attempt_id, to=S.QUARANTINED, expect=frozenset({S.SUCCEEDED}), data=data)
        elif gone:
            data["error_reason"] = "expired"
            transitions.move(tx, row.attempt_id, to=S.RESULT_LOST, expect=frozenset({S.SUCCEEDED}), data=data)
        else:
            transitions.schedule(tx, row.attempt_id, account=row.account, due_at=now_ms + gap, note=note, tries=tries)
            return "again"
        transitions.unschedule(tx, row.attempt_id)
        return "quarantined" if same else "lost"


def _refusals(note: str) -> tuple[int, int] | None:
    """Return how often in a row, and since when (UTC ms), a result was said to be gone, by the note of its last
    fetch."""
    found = _GONE_NOTE.match(note)
    return None if found is None else (int(found[1]), to_ms(datetime.fromisoformat(found[2])))
