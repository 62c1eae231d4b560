"""List what expires at the providers, and when: paid results that are not stored yet, and sources that still have to be
extended."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.clock import is_ahead
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow, Hint
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import MissingFileRow, Role

HOUR_MS: Final = 3_600_000
SOURCE_NOTICE_MS: Final = 7 * 24 * HOUR_MS  # a week, of the 30 days that a source can be extended


class Urgency(StrEnum):
    """How soon something expires. A result is early until half of its retention is over, a source until its last
    week."""

    EARLY = "early"
    SOON = "soon"
    LAST_HOUR = "last_hour"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiring:
    """A result or source that expires at `ends_ms` (UTC ms). `what` is `result` (paid, not stored yet), `missing`
    (stored, and gone from the store) or `source`; `where` is VIDEO/HOP or the video, `note` the result of the last
    fetch."""

    what: str
    where: str
    account: str
    ends_ms: int
    urgency: Urgency
    note: str = ""

    def describe(self, now_ms: int) -> str:
        """Return a sentence for the operator."""
        left_ms = self.ends_ms - now_ms
        when = f"until {from_ms(self.ends_ms):%Y-%m-%d %H:%M} UTC, {_time_left(left_ms)}"
        tried = f"; the last try: {self.note}" if self.note else ""
        if self.what == "missing":
            return f"the film of {self.where} is gone from the store; account {self.account} keeps it {when}{tried}"
        if self.what == "result":
            return f"{self.where} is paid and not fetched yet; account {self.account} keeps it {when}{tried}"
        return f"{self.where} can be extended {when}"


def urgency_of(*, begun_ms: int, ends_ms: int, now_ms: int, refused: bool = False) -> Urgency:
    """Return how soon a result expires that is kept from `begun_ms` to `ends_ms` (UTC ms). The first half of the
    retention is early even within the last hour, so that a URL with one hour to live is not urgent at once. A result
    whose last fetch was `refused` is never early, because the next one will be refused too."""
    if now_ms >= ends_ms:
        return Urgency.OVER
    # where a clock that was ahead dated the beginning, the part of the retention that is left is unknown
    if not refused and not is_ahead(begun_ms, now_ms) and now_ms - begun_ms < ends_ms - now_ms:
        return Urgency.EARLY
    return _late(ends_ms - now_ms)


def results(attempts: Iterable[AttemptRow], hints: Mapping[str, Hint], now_ms: int) -> list[Expiring]:
    """Return the paid results that are not stored, of attempts in `succeeded`; soonest expiry first."""
    expiring = []
    for attempt in attempts:
        if attempt.expires_at is None:
            continue
        look = hints[attempt.attempt_id].look if attempt.attempt_id in hints else LastLook()
        urgency = urgency_of(
            begun_ms=attempt.completed_at or attempt.claimed_at,
            ends_ms=attempt.expires_at,
            now_ms=now_ms,
            refused=look.cause in (LookCause.FETCH_REFUSED, LookCause.SAID_GONE),
        )
        expiring.append(
            Expiring(
                what="result",
                where=attempt.where,
                account=attempt.account,
                ends_ms=attempt.expires_at,
                urgency=urgency,
                note=look.note,
            )
        )
    return sorted(expiring, key=_soonest_first)


def missing_results(missing: Iterable[MissingFileRow], now_ms: int) -> list[Expiring]:
    """Return results that are gone from the store and that their provider still keeps; soonest expiry first. None is
    early, because a result that could be fetched at once is not in this list."""
    expiring = [
        Expiring(
            what="missing",
            where=file.where,
            account=file.account,
            ends_ms=file.expires_at,
            urgency=Urgency.OVER if now_ms >= file.expires_at else _late(file.expires_at - now_ms),
            note=file.note or "",
        )
        for file in missing
        if file.role is Role.RESULT and file.expires_at is not None
    ]
    return sorted(expiring, key=_soonest_first)


def _soonest_first(expiring: Expiring) -> tuple[int, str]:
    return expiring.ends_ms, expiring.where


def _late(left_ms: int) -> Urgency:
    return Urgency.LAST_HOUR if left_ms <= HOUR_MS else Urgency.SOON


def sources(videos: Iterable[VideoPlan], now_ms: int) -> list[Expiring]:
    """Return the sources of the next hops of unfinished videos, while they can be extended; soonest expiry first."""
    expiring = []
    for video in videos:
        ends = video.extendable_until_ms
        if ends is None or now_ms >= ends:  # an expired source is a block reason of the plan
            continue
        left_ms = ends - now_ms
        urgency = _late(left_ms) if left_ms <= SOURCE_NOTICE_MS else Urgency.EARLY
        where = f"the source of {video.key}" if not video.hops_done else f"hop {video.hops_done} of {video.key}"
        expiring.append(Expiring(what="source", where=where, account=video.account, ends_ms=ends, urgency=urgency))
    return sorted(expiring, key=_soonest_first)


def retention(pipeline: Pipeline, now: Plan) -> list[Expiring]:
    """Return everything that expires, early or not: results first, then sources; soonest first."""
    now_ms = pipeline.now_ms()
    return unfetched(pipeline.ledger, now_ms) + sources(now.videos, now_ms)


def unfetched(ledger: Ledger, now_ms: int) -> list[Expiring]:
    """Return every paid result that is not stored; soonest expiry first."""
    with ledger.read() as connection:
        attempts = queries.attempts_in(connection, (AttemptState.SUCCEEDED,))
        hints = queries.hints(connection, [attempt.attempt_id for attempt in attempts])
        missing = files.found_missing(connection, states=("missing",))
    return results(attempts, hints, now_ms) + missing_results(missing, now_ms)


def urgent(expiring: Iterable[Expiring]) -> list[Expiring]:
    """Return those that need the operator's attention: all that are not early."""
    return [item for item in expiring if item.urgency is not Urgency.EARLY]


def ending_now(pipeline: Pipeline) -> list[Expiring]:
    """Return what needs the operator's attention now. Only unfinished videos are read, because complete ones have
    nothing that expires."""
    return urgent(retention(pipeline, plan(plan_input(pipeline, unfinished=True))))


def _time_left(left_ms: int) -> str:
    if left_ms <= 0:
        return "which is over"
    minutes = left_ms // 60_000
    if minutes < 120:
        return f"{counted(minutes, 'minute')} left"
    return f"{minutes // 60} hours left" if minutes < 72 * 60 else f"{minutes // 1440} days left"
