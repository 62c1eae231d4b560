"""`resolve`: a person's decision about one extension, asked for once more where it costs money."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from extend_pipeline.base.units import amount_micros, from_micros
from extend_pipeline.commands.controls import who_option, why_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.text import plain, visible, with_home_option
from extend_pipeline.commands.shared.home import print_mistakes, settings_of
from extend_pipeline.commands.shared.names import NAME
from extend_pipeline.engine.doubt import resolve as decisions
from extend_pipeline.engine.doubt.resolve import Declined, Resolved, split_where
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.ledger.read.attempt_row import AttemptRow

Action = Literal["adopt", "take", "resubmit", "write-off"]


@click.command()
@click.argument("where", type=NAME, metavar="VIDEO/HOP")
@click.argument(
    "action",
    type=click.Choice(["adopt", "take", "resubmit", "write-off"]),
    metavar="adopt|take|resubmit|write-off",
)
@click.argument("what", required=False, metavar="[TASK|FILE]")
@why_option
@who_option
@click.option("--yes", is_flag=True, help="Do not ask again.")
@json_option
@click.pass_context
def resolve(
    ctx: click.Context, where: str, action: Action, what: str | None, why: str, who: str, yes: bool, as_json: bool
) -> None:
    """Decide about an extension: adopt, resubmit, write-off.

    \b
    adopt TASK   it is this task of the provider's: poll and fetch it
    take FILE    this is its film, which could not be fetched
    resubmit     pay for it again
    write-off    give it up, and book its charge
    """
    try:
        split_where(where)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if (what is not None) != (action in ("adopt", "take")):
        raise click.UsageError("adopt wants the id of the provider's task, take wants a file, and the others nothing.")
    home: Path | None = ctx.obj
    with open_home(settings_of(home)) as pipeline:
        seen = decisions.newest_attempt(pipeline, where)
        if action in ("resubmit", "write-off") and not yes:
            _confirm(consequence(where, seen, action), as_json=as_json)
        outcome = _decide(pipeline, where, action, what, seen, who=who, why=why)
        code = print_mistakes(pipeline)
    done = isinstance(outcome, Resolved)
    message = with_home_option(outcome.message, home)
    if as_json:
        task_id, file = (what, None) if action == "adopt" else (None, what)
        decided = {"extension": where, "action": action, "task_id": task_id, "file": file}
        emit({**decided, "done": done, "message": message, "who": who})
    else:
        say(message, err=not done)
    ctx.exit(code or (0 if done else 1))


def consequence(where: str, last: AttemptRow | None, action: Action) -> str:
    """Return what a decision about an attempt does to money, in a sentence."""
    if last is None:
        return f"Nothing is known of {where}."
    micros = amount_micros(units_micros=last.predicted_micros, unit_price_micros=last.unit_price_micros)
    units = f"{plain(from_micros(last.predicted_micros))} {last.unit}"
    price = f"{units} ({plain(from_micros(micros))} {last.currency})"
    if action == "write-off":
        return f"{where} ({last.state}) will be given up, and its {price} booked as spent. This can't be taken back."
    booked = f" The {price} of the attempt in doubt are booked as spent." if last.state == "in_doubt" else ""
    return f"{where} ({last.state}) will be submitted and paid for again, about {price}.{booked}"


def asked_by_person() -> bool:
    """Return whether somebody is at the keyboard who can be asked."""
    return sys.stdin.isatty()


def _confirm(told: str, *, as_json: bool) -> None:
    if as_json or not asked_by_person():
        raise click.UsageError(f"{visible(told)} Nobody is there to be asked: add --yes if that is what you want.")
    say(told, err=True)
    if not click.confirm("Do it?", default=False, err=True):
        raise click.Abort


def _decide(
    pipeline: Pipeline, where: str, action: Action, what: str | None, seen: AttemptRow | None, *, who: str, why: str
) -> Resolved | Declined:
    match action:
        case "adopt":
            return decisions.adopt(pipeline, where, what or "", who=who, why=why)
        case "take":
            return _take(pipeline, where, Path(what or ""), who=who, why=why)
        case "resubmit":
            return decisions.resubmit(pipeline, where, who=who, why=why, seen=seen)
        case "write-off":
            return decisions.write_off(pipeline, where, who=who, why=why, seen=seen)


def _take(pipeline: Pipeline, where: str, file: Path, *, who: str, why: str) -> Resolved | Declined:
    from extend_pipeline.engine.fetch.take_file import take_file

    if not file.is_file():
        raise click.UsageError(f"{file} is no file that can be read.")
    return take_file(pipeline, where, file, who=who, why=why)
