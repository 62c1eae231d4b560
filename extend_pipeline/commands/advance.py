"""`advance`: recover, poll, fetch and submit, in one round or until idle."""

import shlex
import threading
from collections import Counter
from contextlib import suppress
from typing import Final

import click

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.render.describe import status_document
from extend_pipeline.commands.render.event_tail import EventTail
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import drop_stdout, emit, json_option, say
from extend_pipeline.commands.render.progress import progress
from extend_pipeline.commands.render.tables import (
    print_accounts,
    print_blockers,
    print_doubts,
    print_expiring,
    print_lower_prices,
    print_missing,
    print_paused,
    print_withdrawn,
)
from extend_pipeline.commands.render.text import iso, minute, visible
from extend_pipeline.commands.shared import interruptible
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.commands.shared.names import NAME, require_videos
from extend_pipeline.commands.shared.options import Seconds
from extend_pipeline.engine.advance import Round, declare_catalogue
from extend_pipeline.engine.advance import advance as advance_once
from extend_pipeline.engine.drive import advance_until_idle, continues_today, next_moment_ms
from extend_pipeline.engine.guards.clock import describe_ahead, ledger_ahead_ms
from extend_pipeline.engine.guards.other_home import OtherHomeError
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.status import Status
from extend_pipeline.engine.status import status as read_status
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState

INTERRUPTED: Final = 130

_COUNTED = {
    "submitted": "attempt_submitted",
    "stored": "attempt_stored",
    "failed": "attempt_failed",
    "refused": "attempt_rejected",
    "in_doubt": "attempt_in_doubt",
    "lost": "attempt_result_lost",
    "quarantined": "attempt_quarantined",
    "restored": "file_restored",
    "lost_from_store": "file_lost",
    "withdrawn": "video_withdrawn",
}


@click.command()
@click.option(
    "--until-idle", is_flag=True, help="Go on until all is complete, or waits for a person or for tomorrow's budget."
)
@click.option("--max-seconds", type=Seconds(), help="Go on for at most this long.")
@click.option(
    "--video", "videos", type=NAME, multiple=True, metavar="KEY", help="Only this video; may be given several times."
)
@json_option
@click.pass_context
def advance(
    ctx: click.Context, until_idle: bool, max_seconds: float | None, videos: tuple[str, ...], as_json: bool
) -> None:
    """Recover, poll, fetch, submit: one round, or until idle.

    Spends what the budgets allow. Ctrl-C ends it after the step that is under way, a second one at once; either way
    nothing that was paid for is lost. While the catalogue or the accounts have a mistake, what is paid for is
    polled and fetched, and nothing is submitted; a mistake that was made meanwhile is waited for. Exit code 1 when
    something needs a person, 2 when there is a mistake or a key is missing here, 130 when it was stopped with work
    left; the last line says what is left and when it is due.
    """
    with open_home(home_settings()) as pipeline:
        chosen = _chosen(pipeline, videos)
        ahead_ms = ledger_ahead_ms(pipeline)
        events = EventTail(pipeline.ledger, videos=chosen)
        with suppress(OtherHomeError):  # the status below says so; what is paid for is polled and fetched
            declare_catalogue(pipeline)
        is_closed = False
        try:
            stopped = _work(
                pipeline,
                events,
                chosen,
                rounds=until_idle or max_seconds is not None,
                limit=max_seconds,
                ahead_ms=ahead_ms,
                as_json=as_json,
            )
        except BrokenPipeError:  # of `advance | head`
            click.echo("stdout was closed: stopped after what was under way; nothing that was paid is lost", err=True)
            drop_stdout()
            stopped = is_closed = True
        status = read_status(pipeline, brief=not as_json, counts_running=not as_json)
        due_ms = next_moment_ms(pipeline, Round(status.plan), videos=chosen)
        counts = {name: events.counts.get(kind, 0) for name, kind in _COUNTED.items()}
        if as_json:
            emit(
                {
                    "stopped": stopped,
                    "next_due_at": iso(due_ms),
                    "did": counts,
                    **status_document(status, pipeline.accounts),
                }
            )
        else:
            _print_summary(status, counts, stopped=stopped)
        print_mistakes(pipeline)
        for line in status.left_alone:
            click.echo(with_home_option(visible(line)), err=True)
        if due_ms is not None and not as_json:
            say(_describe_open_work(status, chosen, due_ms), err=is_closed)
    ctx.exit(INTERRUPTED if stopped and due_ms is not None else status.exit_code)


def _describe_open_work(status: Status, chosen: frozenset[str] | None, due_ms: int) -> str:
    """Return how much work is left, when the next of it is due, and the command that goes on with it."""
    videos = [video for video in status.plan.videos if chosen is None or video.key in chosen]
    left_out = sum(status.plan.running.values())
    running = sum(video.running is not None for video in videos) + left_out
    going_on = sum(continues_today(video) for video in videos) + left_out
    due = "now" if due_ms <= status.plan.now_ms else f"at {minute(due_ms)}"
    options = "".join(f" --video {shlex.quote(key)}" for key in sorted(chosen or ()))
    work = f"{counted(running, 'task')} at the provider, {counted(going_on, 'video')} to go on with; next due {due}"
    if status.mistakes and not running and not going_on:
        work = "videos that wait until the mistake above is fixed"
    command = with_home_option(f"extend-pipeline advance --until-idle{options}")
    return f"still open: {work} → {command}"


def _chosen(pipeline: Pipeline, videos: tuple[str, ...]) -> frozenset[str] | None:
    """Return the keys of the chosen videos, None for all. Raises click.UsageError for an unknown one."""
    with pipeline.ledger.read() as connection:
        # a mistake may hide a video from the catalogue while a task of it is under way
        has_mistakes = bool(pipeline.configuration.problems)
        hidden = {row.video_key for row in queries.videos(connection, keys=videos)} if has_mistakes else set()
    require_videos(videos, pipeline, hidden=hidden)
    return frozenset(videos) or None


def _work(
    pipeline: Pipeline,
    events: EventTail,
    chosen: frozenset[str] | None,
    *,
    rounds: bool,
    limit: float | None,
    ahead_ms: int,
    as_json: bool,
) -> bool:
    """Advance while showing the progress; return whether the operator stopped it."""
    # written by the thread that works, read by the one that shows
    newest: list[Plan] = []
    warnings: list[str] = []  # mistakes in the files, and accounts without a key, as of the last round
    shown_warnings: list[str] = []
    ahead = [ahead_ms]  # by how much the ledger's last event is dated after now, in ms; -1 once it was shown
    interrupted = threading.Event()
    with progress(pipeline.accounts, as_json=as_json) as screen:

        def keep(result: Round) -> None:
            newest[:] = [result.plan]
            warnings[:] = [
                *(f"nothing is submitted until this is fixed: {line}" for line in result.mistakes),
                *result.left_alone,
            ]
            if rounds and result.mistakes and pipeline.had_valid_files:
                warnings.append(
                    "waiting until that is fixed, and for what is paid; Ctrl-C ends the wait, and nothing is lost"
                )
            ahead[0] = ahead[0] or result.ledger_ahead_ms

        def work(stop: threading.Event) -> None:
            if rounds:
                advance_until_idle(
                    pipeline, videos=chosen, max_seconds=limit, on_round=keep, stop=stop, shown=screen.rows
                )
            else:
                keep(result := advance_once(pipeline, videos=chosen, stop=stop))
                if result.disk_error is not None:
                    raise result.disk_error

        def watch() -> None:
            screen.show_events(events.new_lines())
            if newest:
                screen.show_plan(newest[0])
            if ahead[0] > 0:
                screen.say(f"clock: {describe_ahead(ahead[0])}")
                ahead[0] = -1
            if shown_warnings != warnings:
                shown_warnings[:] = warnings
                for line in shown_warnings:
                    screen.say(with_home_option(visible(line)))

        def stopping() -> None:
            interrupted.set()
            screen.say("stopping after what is under way; once more stops at once, which loses nothing that was paid")

        interruptible.run(work, watch=watch, stopping=stopping, at_once=screen.close)
    return interrupted.is_set()


def _print_summary(status: Status, counts: dict[str, int], *, stopped: bool) -> None:
    changes = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)
    say(f"{'stopped' if stopped else 'done'}: {changes or 'nothing moved'}")
    states = Counter(video.state.value for video in status.plan.videos)
    states[VideoState.COMPLETE.value] += sum(status.plan.complete.values())
    states[VideoState.WORKING.value] += sum(status.plan.running.values())
    say(f"videos: {', '.join(f'{count} {name}' for name, count in (+states).items()) or 'none'}")
    print_accounts(status.accounts)
    print_paused(status)
    print_lower_prices(status)
    print_doubts(status)
    print_withdrawn(status)
    print_expiring(status, status.plan.now_ms)
    print_missing(status)
    print_blockers(status.plan)
