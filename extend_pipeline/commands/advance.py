"""`advance`: recover, poll, fetch, submit; one round, or rounds until nothing is left to do."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.render.describe import status_document
from extend_pipeline.commands.render.event_tail import EventTail
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.progress import progress
from extend_pipeline.commands.render.tables import (
    print_accounts,
    print_doubts,
    print_lower_prices,
    print_missing,
    print_obstacles,
)
from extend_pipeline.commands.render.text import iso, minute, visible, with_home_option
from extend_pipeline.commands.shared import interruptible
from extend_pipeline.commands.shared.home import print_mistakes, settings_of
from extend_pipeline.commands.shared.names import NAME
from extend_pipeline.commands.shared.options import Seconds
from extend_pipeline.config.issues import did_you_mean
from extend_pipeline.engine.advance import Round, declare_catalogue
from extend_pipeline.engine.advance import advance as advance_once
from extend_pipeline.engine.drive import advance_until_idle, continues_today, next_moment_ms
from extend_pipeline.engine.guards.clock import describe_ahead, ledger_ahead_ms
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.status import Status
from extend_pipeline.engine.status import status as read_status
from extend_pipeline.ledger.read import queries

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
}


@click.command()
@click.option(
    "--until-idle", is_flag=True, help="Go on until all is complete, or waits for somebody or for tomorrow's budget."
)
@click.option("--max-seconds", type=Seconds(), help="Go on for at most so long.")
@click.option(
    "--video", "videos", type=NAME, multiple=True, metavar="KEY", help="Only this video; may be given several times."
)
@json_option
@click.pass_context
def advance(
    ctx: click.Context, until_idle: bool, max_seconds: float | None, videos: tuple[str, ...], as_json: bool
) -> None:
    """Recover, poll, fetch, submit: one round, or until idle.

    Spends what the budgets allow. Ctrl-C ends it after the step that is under way, twice at once; either way nothing
    that was paid for is lost. While the catalogue or the accounts have a mistake, what is paid for is polled and
    fetched, and nothing is submitted. Exit code 1 when something needs a person, 2 when there is a mistake or a
    key is missing here, 130 when it was stopped with work left; the last line says what that is and when it is due.
    """
    home: Path | None = ctx.obj
    with open_home(settings_of(home)) as pipeline:
        chosen = _chosen(pipeline, videos)
        ahead_ms = ledger_ahead_ms(pipeline)
        declare_catalogue(pipeline)
        follower = EventTail(pipeline.ledger, videos=chosen)
        stopped = _work(
            pipeline,
            follower,
            chosen,
            rounds=until_idle or max_seconds is not None,
            limit=max_seconds,
            ahead_ms=ahead_ms,
            as_json=as_json,
        )
        found = read_status(pipeline)
        due_ms = next_moment_ms(pipeline, Round(found.plan), videos=chosen)
        did = {name: follower.counts.get(kind, 0) for name, kind in _COUNTED.items()}
        if as_json:
            emit(
                {
                    "stopped": stopped,
                    "next_due_at": iso(due_ms),
                    "did": did,
                    **status_document(found, pipeline.accounts, home=home),
                }
            )
        else:
            _summary(found, did, stopped=stopped, home=home)
        print_mistakes(pipeline)
        for line in found.left_alone:
            click.echo(visible(line), err=True)
        if due_ms is not None and not as_json:
            say(_still_open(found, chosen, due_ms, home))
    ctx.exit(INTERRUPTED if stopped and due_ms is not None else found.exit_code)


def _still_open(found: Status, chosen: frozenset[str] | None, due_ms: int, home: Path | None) -> str:
    """Return what is left to do, when the next of it is due, and the command that goes on."""
    videos = [video for video in found.plan.videos if chosen is None or video.key in chosen]
    running = sum(video.running is not None for video in videos)
    going_on = sum(continues_today(video) for video in videos)
    due = "now" if due_ms <= found.plan.now_ms else f"at {minute(due_ms)}"
    only = "".join(f" --video {shlex.quote(key)}" for key in sorted(chosen or ()))
    told = f"still open: {counted(running, 'task')} at the provider, {counted(going_on, 'video')} to go on with"
    return f"{told}; next due {due} → {with_home_option(f'extend-pipeline advance --until-idle{only}', home)}"


def _chosen(pipeline: Pipeline, videos: tuple[str, ...]) -> frozenset[str] | None:
    known = pipeline.configuration.catalogue.videos
    with pipeline.ledger.read() as connection:
        # a mistake may hide a video from the catalogue while a task of it is under way
        faulty = bool(pipeline.configuration.problems)
        hidden = {row.video_key for row in queries.videos(connection, keys=videos)} if faulty else set()
    for key in videos:
        if key not in known and key not in hidden:
            hint = did_you_mean(key, list(known)[:1000], label="") if known else ""
            raise click.UsageError(f"the catalogue has no video {key!r}. {hint if hint.startswith('Did') else ''}")
    return frozenset(videos) or None


def _work(
    pipeline: Pipeline,
    follower: EventTail,
    chosen: frozenset[str] | None,
    *,
    rounds: bool,
    limit: float | None,
    ahead_ms: int,
    as_json: bool,
) -> bool:
    """Advance while showing what happens; answers whether a person stopped it."""
    newest: list[Plan] = []
    wrong: list[str] = []  # what the last round found wrong with the files, and what of it has been told
    told: list[str] = []
    ahead = [ahead_ms]  # by how much the ledger's last event is dated after now; told once
    asked = threading.Event()
    with progress(pipeline.accounts, as_json=as_json) as shown:

        def keep(now: Round) -> None:
            newest[:] = [now.plan]
            wrong[:] = [
                *(f"nothing is submitted until this is mended: {line}" for line in now.mistakes),
                *now.left_alone,
            ]
            ahead[0] = ahead[0] or now.ledger_ahead_ms

        def work(stop: threading.Event) -> None:
            if rounds:
                advance_until_idle(pipeline, videos=chosen, max_seconds=limit, on_round=keep, stop=stop)
            else:
                keep(now := advance_once(pipeline, videos=chosen, stop=stop))
                if now.disk_error is not None:
                    raise now.disk_error

        def watch() -> None:
            shown.happened(follower.news())
            if newest:
                shown.planned(newest[0])
            if ahead[0] > 0:
                shown.say(f"clock: {describe_ahead(ahead[0])}")
                ahead[0] = -1
            if told != wrong:
                told[:] = wrong
                for line in told:
                    shown.say(visible(line))

        def stopping() -> None:
            asked.set()
            shown.say("stopping after what is under way; once more stops at once, which loses nothing that was paid")

        interruptible.run(work, watch=watch, stopping=stopping, at_once=shown.leave)
    return asked.is_set()


def _summary(found: Status, did: dict[str, int], *, stopped: bool, home: Path | None) -> None:
    moved = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in did.items() if count)
    say(f"{'stopped' if stopped else 'done'}: {moved or 'nothing moved'}")
    states: dict[str, int] = {}
    for video in found.plan.videos:
        states[video.state.value] = states.get(video.state.value, 0) + 1
    say(f"videos: {', '.join(f'{count} {name}' for name, count in states.items()) or 'none'}")
    print_accounts(found.accounts)
    print_lower_prices(found)
    print_doubts(found, home=home)
    print_missing(found, home=home)
    print_obstacles(found.plan, home=home)
