"""When a chain of hops has reached its target, and where it will land: lengths alone, no state. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.config.model.target import TOLERANCE_MS
from extend_pipeline.engine.plan.model import Blocker, Parent
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.providers.registry import spec_of


@dataclass(frozen=True, slots=True)
class Goal:
    """What a video shall become, with its account's defaults filled in; ms. Exactly one of `to_ms` and `steps`."""

    to_ms: int | None
    steps: int | None
    tolerance_ms: int
    at_most_ms: int | None

    def is_reached(self, duration_ms: int | None, hops_done: int) -> bool:
        """Return whether nothing more is to be bought: the length is there within the tolerance, or all steps are."""
        if self.steps is not None:
            return hops_done >= self.steps
        return duration_ms is not None and duration_ms >= self._enough_ms

    def is_passed(self, duration_ms: int | None, hops_done: int) -> bool:
        """Return whether the target is reached to the millisecond, so that a hop beyond it was never wanted."""
        if self.to_ms is None:
            return self.is_reached(duration_ms, hops_done)
        return duration_ms is not None and duration_ms >= self.to_ms

    @property
    def needs_length(self) -> bool:
        """Return whether the length of the source must be known before a hop is bought."""
        return self.to_ms is not None or self.at_most_ms is not None

    @property
    def limits(self) -> dict[str, int]:
        """Return what differs from the defaults: part of an entry's definition, never of a hop's name."""
        told = {} if self.tolerance_ms == TOLERANCE_MS else {"tolerance_ms": self.tolerance_ms}
        return told if self.at_most_ms is None else {**told, "at_most_ms": self.at_most_ms}

    @property
    def _enough_ms(self) -> int:
        assert self.to_ms is not None
        return self.to_ms - self.tolerance_ms


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a chain lands, (least, most): further hops, and its length in ms at the end (None where its start is not
    known). `may_fall_short` is True where a limit may end it below its target."""

    hops: tuple[int, int]
    end_ms: tuple[int, int] | None
    may_fall_short: bool = False


def goal_of(video: Video, account: Account) -> Goal:
    """Return the goal of a video: what its entry says, else what its account says, else the defaults."""
    extend, defaults = video.extend, account.extend
    tolerance = extend.tolerance_ms if extend.tolerance_ms is not None else defaults.tolerance_ms
    at_most = extend.at_most_ms if extend.at_most_ms is not None else defaults.at_most_ms
    return Goal(extend.to_ms, extend.steps, tolerance, at_most)


def past_at_most(video: Video, goal: Goal, hop: int, parent: Parent) -> Blocker | None:
    """Return why hop `hop` may not be bought: by the longest that it may add, the video would pass its at_most."""
    if goal.at_most_ms is None or parent.duration_ms is None:
        return None
    longest = parent.duration_ms + spec_of(video.provider).added_ms(video.extend)[1]
    if longest <= goal.at_most_ms:
        return None
    now, could, limit = _seconds(parent.duration_ms), _seconds(longest), _seconds(goal.at_most_ms)
    message = f"it is {now} s long; another hop could make it {could} s, and at_most is {limit} s"
    if goal.to_ms is None:
        enough = f"set extend.steps: {hop - 1}" if hop > 1 else "leave the video out"
    else:
        enough = f"set extend.tolerance: {_seconds(goal.to_ms - parent.duration_ms)}"
    todo = f"to go on, set extend.at_most: {could} or more; to leave it as it is, {enough}"
    return Blocker(BlockReason.AT_MOST, message, todo)


def forecast(video: Video, goal: Goal, start_ms: int | None, hops_done: int) -> Forecast:
    """Return where a chain lands that is `start_ms` long after `hops_done` hops, if every further hop succeeds.

    After each hop the lengths at which the chain goes on form one range; what leaves it above has ended.
    """
    if start_ms is None:
        left = 0 if goal.steps is None else max(goal.steps - hops_done, 0)
        return Forecast((left, left), None)
    least, most = spec_of(video.provider).added_ms(video.extend)
    longest = _longest_parent_ms(video, goal, most)
    low = high = start_ms
    ends: list[tuple[int, int, int]] = []  # after so many hops: shortest and longest of the chains that end there
    falls_short = False
    for hops in count():
        reached = goal.steps is not None and hops_done + hops >= goal.steps
        enough = low if reached else high + 1 if goal.to_ms is None else goal.to_ms - goal.tolerance_ms
        stops_above = min(enough - 1, high if longest is None else longest)
        if stops_above < high:
            first = max(low, stops_above + 1)
            ends.append((hops, first, high))
            falls_short = falls_short or first < enough
        if stops_above < low:
            break
        low, high = low + least, min(high, stops_above) + most
    return Forecast(
        (ends[0][0], ends[-1][0]),
        (min(end[1] for end in ends), max(end[2] for end in ends)),
        falls_short,
    )


def _longest_parent_ms(video: Video, goal: Goal, most_added_ms: int) -> int | None:
    """Return how long a parent may be at most for another hop to be bought; None where no limit is known."""
    limits = [limit for limit in (goal.at_most_ms, spec_of(video.provider).longest_ms) if limit is not None]
    return min(limits) - most_added_ms if limits else None


def _seconds(ms: int) -> str:
    return f"{ms / 1000:g}"
