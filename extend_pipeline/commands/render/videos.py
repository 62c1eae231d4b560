"""Tables of videos: the complete one, and the live one with a progress bar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.commands.render.describe import Cost, cost_of, start_unknown, totals
from extend_pipeline.commands.render.output import say, text
from extend_pipeline.commands.render.table import Column, drawn, print_table
from extend_pipeline.commands.render.text import format_range, plain, seconds
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.ledger.states import VideoState

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

DUE: Final = "due"
MANY: Final = 50  # videos of a table that is not asked to show all
PAGE: Final = 1000  # videos of one table where all are asked for: its widths are those of the rows in it

_VIDEOS: Final[Mapping[Column, Callable[[VideoPlan, Account], str]]] = {
    Column("video"): lambda video, _: video.key,
    Column("account", rank=5): lambda video, _: video.account,
    Column("state"): lambda video, _: state_or_due(video),
    Column("hops", right=True, rank=2): lambda video, _: hops(video),
    Column("length", right=True): lambda video, _: length(video),
    Column("lands at", right=True, rank=6): lambda video, _: lands_at(video),
    Column("cost left", right=True, rank=3): lambda video, account: cost_left(video, account)[0],
    Column("amount left", right=True, rank=4): lambda video, account: cost_left(video, account)[1],
    Column("waits for", prose=True, rank=1): lambda video, _: waits_for(video),
}
"""The columns of the complete table, each with its value for a video."""

_BAR: Final = 16  # characters of a bar
_LIVE: Final[Mapping[Column, Callable[[VideoPlan, Account], str | Text]]] = {
    Column("video"): lambda video, _: text(video.key, "bold"),
    Column("", rank=2): lambda video, _: text(bar(video), "green" if video.state is VideoState.COMPLETE else "cyan"),
    Column("length", right=True): lambda video, _: length(video),
    Column("hop", right=True, rank=1): lambda video, _: hops(video),
    Column("state", prose=True): lambda video, _: text(
        state(video), "red" if video.state is VideoState.BLOCKED else ""
    ),
    Column("left", rank=3): lambda video, account: cost_left(video, account)[0],
}
"""The columns of the live table, each with its value for a video."""

_ORDER: Final = {VideoState.WORKING: 0, VideoState.WAITING: 1, VideoState.BLOCKED: 2, VideoState.COMPLETE: 3}


def print_videos(
    plan: Plan, accounts: Mapping[str, Account], *, everything: bool = False, is_chosen: bool = False
) -> None:
    """Print the table of a plan's videos, and how many are in each state. Of more than MANY only a part is shown (see
    `shown_of`), unless `everything` is asked for: that is a table for each PAGE of them. `is_chosen` says that a filter
    chose the videos."""
    videos, complete = plan.videos, sum(plan.complete.values())
    shown = videos if everything else shown_of(videos, is_chosen=is_chosen)
    for start in range(0, max(len(shown), 1), PAGE):
        page = shown[start : start + PAGE]
        print_table(
            list(_VIDEOS), ([value(video, accounts[video.account]) for value in _VIDEOS.values()] for video in page)
        )
    states = _by_state(videos, complete)
    say(f"{counted(len(videos) + complete, 'video')}{': ' + states if states else ''}")
    if len(shown) < len(videos) + complete:
        shown_keys = {video.key for video in shown}
        others = [video for video in videos if video.key not in shown_keys]
        left_out = _by_state(others, complete)
        options = "--all" if is_chosen else "--all, --state, --account or VIDEO"
        say(f"not in the table: {left_out}; {options} shows them")


def shown_of(videos: Sequence[VideoPlan], *, is_chosen: bool) -> Sequence[VideoPlan]:
    """Return the videos that a short table shows: all, if they are few; else at most MANY, those that need an operator
    first, and complete ones last, which are left out unless a filter chose the videos."""
    if len(videos) <= MANY:
        return videos
    listed = (video for video in videos if is_chosen or video.state is not VideoState.COMPLETE)
    return sorted(listed, key=lambda video: (not video.needs_person, _ORDER.get(video.state, 9)))[:MANY]


def _by_state(videos: Sequence[VideoPlan], complete: int) -> str:
    """Return how many videos are in each state; `complete` are not among the videos."""
    counts = Counter(map(state_or_due, videos)) + Counter({VideoState.COMPLETE.value: complete})
    return ", ".join(f"{counts[state]} {state}" for state in (DUE, *VideoState) if counts[state])


def state_or_due(video: VideoPlan) -> str:
    """Return a video's state, or `due` if its next step can be submitted now."""
    return DUE if video.due is not None else video.state.value


def waits_for(video: VideoPlan) -> str:
    """Return the block reason of a video; empty if it isn't blocked."""
    return video.blocker.reason.value.replace("_", " ") if video.blocker else ""


def hops(video: VideoPlan) -> str:
    """Return the number of hops done and left: `2 + 3–4`."""
    if video.state is VideoState.COMPLETE:
        return str(video.hops_done)
    if start_unknown(video):
        return f"{video.hops_done} + ?"
    return f"{video.hops_done} + {format_range(str(video.hops_left[0]), str(video.hops_left[1]))}"


def length(video: VideoPlan) -> str:
    """Return the current and the target length: `9.6 → 30 s`, or `9.6 s, 3 steps` if the target is in steps."""
    now = seconds(video.current_ms) or "?"
    if video.target_ms is not None:
        return f"{now} → {seconds(video.target_ms)} s"
    return f"{now} s, {counted(video.target_steps or 0, 'step')}"


def lands_at(video: VideoPlan) -> str:
    """Return the expected final length: `29.5–34.5 s`; empty if the video is complete or its start is unknown."""
    if video.end_ms is None or video.state is VideoState.COMPLETE:
        return ""
    return f"{format_range(seconds(video.end_ms[0]) or '', seconds(video.end_ms[1]) or '')} s"


def cost_left(video: VideoPlan, account: Account) -> tuple[str, str]:
    """Return the remaining cost of a video, in units and in money, or `not known yet`; empty if it is zero."""
    if start_unknown(video) or video.micros_left is None:
        return "not known yet", ""
    return ("", "") if video.micros_left == (0, 0) else _units_and_amount(cost_of(account, video.micros_left))


def cost(of: Cost) -> str:
    """Return a cost as text, in units and in money: `6–8 kling-unit (0.84–1.12 USD)`."""
    units, amount = _units_and_amount(of)
    return f"{units} ({amount})"


def _units_and_amount(of: Cost) -> tuple[str, str]:
    units, amount = (format_range(plain(least), plain(most)) for least, most in (of.units, of.amount))
    return f"{units} {of.unit}", f"{amount} {of.currency}"


def print_totals(plan: Plan, accounts: Mapping[str, Account]) -> None:
    """Print the remaining cost of each account, and the videos that it doesn't include."""
    videos = plan.videos
    for total in totals(plan, accounts):
        say(f"left to spend with {total.account}: {cost(total)}")
    branches = sum(start_unknown(video) and video.is_branch for video in videos)
    if branches:
        say(f"not counted: {counted(branches, 'video')} off a hop that isn't made yet")
    unmeasured = sum(start_unknown(video) and not video.is_branch for video in videos)
    if unmeasured:
        say(f"not counted: {counted(unmeasured, 'source')} of unknown length; plan --measure measures it")
    short = [video.key for video in videos if video.may_fall_short and video.blocker is None]
    if short:
        say(f"may end below their target, and need you then: {first_names(short)} (at_most or the provider's longest)")


def draw(plan: Plan, accounts: Mapping[str, Account], *, rows: int, width: int) -> RenderableType:
    """Return a table of at most `rows` videos, working ones first, with a line that counts the others."""
    from rich.console import Group

    ordered = sorted(plan.videos, key=lambda video: _ORDER.get(video.state, 9))
    shown = [[value(video, accounts[video.account]) for value in _LIVE.values()] for video in ordered[:rows]]
    table = drawn(list(_LIVE), shown, width)
    counts = Counter(map(state_or_due, ordered[rows:]))
    counts[VideoState.WORKING.value] += sum(plan.running.values())
    if not (counts := +counts):
        return table
    rest = ", ".join(f"{count} {name}" for name, count in counts.items())
    return Group(table, text(f"and {counts.total()} more: {rest}"))


def bar(video: VideoPlan) -> str:
    """Return a video's progress towards its target, as a bar of text."""
    if video.state is VideoState.COMPLETE:
        share = 1.0
    elif video.target_ms is not None:
        share = (video.current_ms or 0) / video.target_ms
    else:
        share = video.hops_done / max(video.target_steps or 1, 1)
    full = min(int(share * _BAR), _BAR)
    return "█" * full + "░" * (_BAR - full)


def state(video: VideoPlan) -> str:
    """Return a video's block reason, else the state of its running attempt, else its own state."""
    if video.blocker is not None:
        return waits_for(video)
    if video.running is not None:
        return video.running.state.value
    return state_or_due(video)
