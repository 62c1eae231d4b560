"""The target of a video, whether a chain of hops has reached it, and the forecast of its final length. Pure."""

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
    """The target of a video, with its account's defaults filled in (ms). Exactly one of `to_ms` and `steps` is set."""

    to_ms: int | None
    steps: int | None
    tolerance_ms: int
    at_most_ms: int | None

    def is_reached(self, duration_ms: int | None, hops_done: int) -> bool:
        """Return whether nothing more is bought: the length is reached within the tolerance, or all steps are done."""
        if self.steps is not None:
            return hops_done >= self.steps
        return duration_ms is not None and duration_ms >= self.enough_ms

    def is_passed(self, duration_ms: int | None, hops_done: int) -> bool:
        """Return whether the full target is reached, so that a hop beyond it doesn't belong to the video."""
        if self.to_ms is None:
            return self.is_reached(duration_ms, hops_done)
        return duration_ms is not None and duration_ms >= self.to_ms

    @property
    def needs_length(self) -> bool:
        """Return whether the length of the source must be known before a hop is bought."""
        return self.to_ms is not None or self.at_most_ms is not None

    @property
    def limits(self) -> dict[str, int]:
        """Return the limits that differ from the defaults: part of an entry's definition, not of a hop's name."""
        limits = {} if self.tolerance_ms == TOLERANCE_MS else {"tolerance_ms": self.tolerance_ms}
        return limits if self.at_most_ms is None else {**limits, "at_most_ms": self.at_most_ms}

    @property
    def enough_ms(self) -> int:
        """Return the length from which on nothing more is bought, where a length is the target (ms)."""
        assert self.to_ms is not None
        return self.to_ms - self.tolerance_ms


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of a chain as (least, most): the number of further hops, and its final length in ms (None when the
    length of its source is unknown). `may_fall_short` is True when a limit may end it below its target."""

    hops: tuple[int, int]
    end_ms: tuple[int, int] | None
    may_fall_short: bool = False


def goal_of(video: Video, account: Account) -> Goal:
    """Return the goal of a video from its entry, its account and the defaults, in this order of precedence."""
    extend, defaults = video.extend, account.extend
    tolerance = extend.tolerance_ms if extend.tolerance_ms is not None else defaults.tolerance_ms
    at_most = extend.at_most_ms if extend.at_most_ms is not None else defaults.at_most_ms
    return Goal(extend.to_ms, extend.steps, tolerance, at_most)


def past_at_most(video: Video, goal: Goal, hop: int, parent: Parent) -> Blocker | None:
    """Return a blocker when hop `hop` could make the video longer than its `at_most`, else None."""
    if goal.at_most_ms is None or parent.duration_ms is None:
        return None
    longest = parent.duration_ms + spec_of(video.provider).added_ms(video.extend)[1]
    if longest <= goal.at_most_ms:
        return None
    current, could, limit = _seconds(parent.duration_ms), _seconds(longest), _seconds(goal.at_most_ms)
    message = f"it is {current} s long; another hop could make it {could} s, and at_most is {limit} s"
    if goal.to_ms is None:
        enough = f"set extend.steps: {hop - 1}" if hop > 1 else "leave the video out"
    else:
        enough = f"set extend.tolerance: {_seconds(goal.to_ms - parent.duration_ms)}"
    todo = f"to go on, set extend.at_most: {could} or more; to leave it as it is, {enough}"
    return Blocker(BlockReason.AT_MOST, message, todo)


def forecast(video: Video, goal: Goal, start_ms: int | None, hops_done: int) -> Forecast:
    """Return the forecast of a chain that is `start_ms` long after `hops_done` hops, if every further hop succeeds.

    After each hop the possible lengths form one range. Lengths above the limit of the range end there, and the others
    continue with the next hop.
    """
    if start_ms is None:
        left = 0 if goal.steps is None else max(goal.steps - hops_done, 0)
        return Forecast((left, left), None)
    least, most = spec_of(video.provider).added_ms(video.extend)
    longest = _longest_parent_ms(video, goal, most)
    low = high = start_ms
    ends: list[tuple[int, int, int]] = []  # number of hops, shortest and longest final length in ms
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
    """Return the maximum length of a parent for which another hop may be bought (ms); None without a limit."""
    limits = [limit for limit in (goal.at_most_ms, spec_of(video.provider).longest_ms) if limit is not None]
    return min(limits) - most_added_ms if limits else None


def _seconds(ms: int) -> str:
    return f"{ms / 1000:g}"
