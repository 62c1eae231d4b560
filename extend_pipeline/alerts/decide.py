"""Decide whether an alert is due and what it lists: a pure function of what waits, what was reported, and the clock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from extend_pipeline.alerts.marks import MAX_MARKS

GAP_S: Final = 600
"""Seconds between two alerts without anything new that is urgent, so that what fails one by one is one alert, and
from an alert to the all clear, so that what comes and goes is one alert too."""

URGENT_GAP_S: Final = 60


class Kind(StrEnum):
    """What a message is about."""

    ALERT = "alert"
    REMINDER = "reminder"
    ALL_CLEAR = "all_clear"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a receiver knows. `marks` are those of things that were reported and still waited at the last look, `urgent`
    those among them that were reported as urgent. Of more than MAX_MARKS things the marks from `below` on are left out:
    such things are only counted. Times are UTC seconds: of the last message, and of the last one that listed all."""

    marks: frozenset[str] = frozenset()
    urgent: frozenset[str] = frozenset()
    below: str = ""
    sent_s: int = 0
    listed_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to send now: nothing where `kind` is None. `listed` are the marks that the message lists, `new` those among
    them that the receiver doesn't know, or not as urgent. `after` is what it knows once it has the message."""

    kind: Kind | None = None
    listed: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()
    after: Reported


def decide(
    waiting: Mapping[str, bool],
    before: Reported,
    *,
    now_s: int,
    again_after_s: float,
    failed_runs: bool = False,
    is_whole: bool = True,
    has_lost: bool = False,
) -> Decision:
    """Decide what a receiver is sent now (UTC s). `waiting` are the marks of what waits, each with whether it is
    urgent; `failed_runs` says that there are failed runs to report, `has_lost` that the last message was given up.
    Unless it `is_whole`, other things may wait too: what was reported is neither listed again nor forgotten.

    Each thing is reported once, and again when it becomes urgent. `again_after_s` seconds after the last message that
    listed all that waits, all of it is listed again. When nothing waits any more, that is reported once.
    """
    if not is_whole:
        return _decide_in_part(waiting, before, now_s=now_s, again_after_s=again_after_s, failed_runs=failed_runs)
    # what was only counted is known, and is kept by its mark once there is room
    counted = {mark for mark in waiting if before.below and mark >= before.below}
    known = (before.marks & waiting.keys()) | counted
    known_urgent = (before.urgent & waiting.keys()) | {mark for mark in counted if waiting[mark]}
    new = frozenset(m for m, is_urgent in waiting.items() if m not in known or (is_urgent and m not in known_urgent))
    gap_s = URGENT_GAP_S if any(waiting[mark] for mark in new) else GAP_S
    is_early = not _is_over(before.sent_s, gap_s, now_s)
    is_due_again = bool(known) and _is_over(before.listed_s, again_after_s, now_s)
    if (before.marks or has_lost) and not waiting:
        if is_early:
            return Decision(after=before)
        if failed_runs:  # a receiver that closes its case with an all clear would hide them: that comes next
            return Decision(kind=Kind.ALERT, after=replace(before, sent_s=now_s))
        return Decision(kind=Kind.ALL_CLEAR, after=Reported(sent_s=now_s, listed_s=now_s))
    if (new or failed_runs) and not is_early:
        kind = Kind.ALERT
    elif is_due_again:
        kind = Kind.REMINDER
    else:
        after = _reported(known, known_urgent, sent_s=before.sent_s, listed_s=before.listed_s)
        return Decision(after=after)
    listed = frozenset(waiting) if is_due_again else new
    after = _reported(
        waiting,
        (mark for mark, is_urgent in waiting.items() if is_urgent),
        sent_s=now_s,
        listed_s=now_s if listed and len(listed) == len(waiting) else before.listed_s,
    )
    return Decision(kind=kind, listed=listed, new=new, after=after)


def _decide_in_part(
    waiting: Mapping[str, bool], before: Reported, *, now_s: int, again_after_s: float, failed_runs: bool
) -> Decision:
    """Decide where only a part of what waits is known: of that part alone."""
    new = waiting.keys() - before.marks
    is_early = not _is_over(before.sent_s, URGENT_GAP_S if any(waiting[mark] for mark in new) else GAP_S, now_s)
    if (new or failed_runs) and not is_early:
        kind, listed = Kind.ALERT, frozenset(new)
    elif waiting and not new and _is_over(before.sent_s, again_after_s, now_s):
        kind, listed = Kind.REMINDER, frozenset(waiting)
    else:
        return Decision(after=before)
    urgent = before.urgent | {mark for mark in new if waiting[mark]}
    after = replace(before, marks=before.marks | new, urgent=urgent, sent_s=now_s)
    return Decision(kind=kind, listed=listed, new=frozenset(new), after=after)


def _is_over(since_s: int, gap_s: float, now_s: int) -> bool:
    """Return whether a time is over; also where the clock was set back, which holds nothing up."""
    return not 0 <= now_s - since_s < gap_s


def _reported(marks: Iterable[str], urgent: Iterable[str], *, sent_s: int, listed_s: int) -> Reported:
    ordered = sorted(marks)
    below = ordered[MAX_MARKS] if len(ordered) > MAX_MARKS else ""
    kept = frozenset(ordered[:MAX_MARKS])
    return Reported(marks=kept, urgent=kept & frozenset(urgent), below=below, sent_s=sent_s, listed_s=listed_s)
