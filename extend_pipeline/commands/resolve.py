"""`resolve`: record an operator's decision about one extension, after a confirmation if it costs money."""

from pathlib import Path
from typing import Literal

import click

from extend_pipeline.base.units import amount_micros, from_micros
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.text import plain, visible
from extend_pipeline.commands.shared.confirm import confirm, is_interactive, yes_option
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.commands.shared.names import NAME
from extend_pipeline.commands.shared.options import who_option, why_option
from extend_pipeline.engine.decisions import resolve as decisions
from extend_pipeline.engine.decisions.resolve import Declined, Resolved, split_where
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
@yes_option
@json_option
@click.pass_context
def resolve(
    ctx: click.Context, where: str, action: Action, what: str | None, why: str, who: str, yes: bool, as_json: bool
) -> None:
    """Decide about an extension: adopt, resubmit, write-off.

    \b
    adopt TASK   the provider's task of this id is the extension's: poll and fetch it
    take FILE    this file is its film, which could not be fetched
    resubmit     pay for it again
    write-off    give it up, and book its charge
    """
    try:
        split_where(where)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if (what is not None) != (action in ("adopt", "take")):
        raise click.UsageError("adopt needs the id of the provider's task, take needs a file, and the others nothing.")
    with open_home(home_settings()) as pipeline:
        attempt = decisions.newest_attempt(pipeline, where)
        if action in ("resubmit", "write-off") and attempt is not None and not yes:
            _confirm(consequence(where, attempt, action), as_json=as_json)
        outcome = _decide(pipeline, where, action, what, attempt, who=who, why=why)
        code = print_mistakes(pipeline)
    done = isinstance(outcome, Resolved)
    message = with_home_option(outcome.message)
    if as_json:
        task_id, file = (what, None) if action == "adopt" else (None, what)
        decided = {"extension": where, "action": action, "task_id": task_id, "file": file}
        emit({**decided, "done": done, "message": message, "who": who})
    else:
        say(message, err=not done)
    ctx.exit(code or (0 if done else 1))


def consequence(where: str, attempt: AttemptRow, action: Action) -> str:
    """Return a sentence about what a decision on an attempt costs."""
    micros = amount_micros(units_micros=attempt.predicted_micros, unit_price_micros=attempt.unit_price_micros)
    units = f"{plain(from_micros(attempt.predicted_micros))} {attempt.unit}"
    price = f"{units} ({plain(from_micros(micros))} {attempt.currency})"
    if action == "write-off":
        return f"{where} ({attempt.state}) will be given up, and its {price} booked as spent. This can't be undone."
    booked = f" The {price} of the attempt in doubt are booked as spent." if attempt.state == "in_doubt" else ""
    return f"{where} ({attempt.state}) will be submitted and paid for again, about {price}.{booked}"


def _confirm(message: str, *, as_json: bool) -> None:
    if as_json or not is_interactive():
        raise click.UsageError(f"{visible(message)} This can't be confirmed here: add --yes if it is what you want.")
    confirm(message)


def _decide(
    pipeline: Pipeline, where: str, action: Action, what: str | None, attempt: AttemptRow | None, *, who: str, why: str
) -> Resolved | Declined:
    match action:
        case "adopt":
            return decisions.adopt(pipeline, where, what or "", who=who, why=why)
        case "take":
            return _take(pipeline, where, Path(what or ""), who=who, why=why)
        case "resubmit":
            return decisions.resubmit(pipeline, where, who=who, why=why, seen=attempt)
        case "write-off":
            return decisions.write_off(pipeline, where, who=who, why=why, seen=attempt)


def _take(pipeline: Pipeline, where: str, file: Path, *, who: str, why: str) -> Resolved | Declined:
    from extend_pipeline.engine.fetch.take_file import take_file

    if not file.is_file():
        raise click.UsageError(f"{file} is not a file.")
    return take_file(pipeline, where, file, who=who, why=why)
