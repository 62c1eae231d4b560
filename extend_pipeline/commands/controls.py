"""`pause` and `resume`: stop spending, and start it again."""

from typing import Final

import click

from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, say
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.commands.shared.names import NAME, require_account
from extend_pipeline.commands.shared.options import decision_options
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import controls

EVERYTHING: Final = "everything"


@click.command()
@click.argument("account", type=NAME, required=False)
@decision_options
@click.pass_context
def pause(ctx: click.Context, account: str | None, why: str, who: str, as_json: bool) -> None:
    """Stop all submits, of one account or of all.

    What is in flight is still polled and fetched.
    """
    with open_home(home_settings()) as pipeline:
        name = _ledger_key(pipeline, account)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=who) as tx:
            controls.pause(tx, name, why=why)
        code = print_mistakes(pipeline)
    if as_json:
        emit({"paused": [account or EVERYTHING], "why": why, "who": who})
    else:
        say(f"{_label(account)} is paused: nothing more is claimed; what is claimed is still sent, polled and fetched")
    ctx.exit(code)


@click.command()
@click.argument("account", type=NAME, required=False)
@decision_options
@click.pass_context
def resume(ctx: click.Context, account: str | None, why: str, who: str, as_json: bool) -> None:
    """Lift a pause or a stop.

    Of one ACCOUNT, or of everything that is paused or stopped.
    """
    with open_home(home_settings()) as pipeline:
        name = _ledger_key(pipeline, account)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=who) as tx:
            lifted = [EVERYTHING if key == tables.ALL_ACCOUNTS else key for key in controls.resume(tx, name, why=why)]
            everywhere = queries.accounts(tx.connection).get(tables.ALL_ACCOUNTS)
        code = print_mistakes(pipeline)
    if as_json:
        emit({"resumed": lifted, "why": why, "who": who})
    elif lifted:
        say(f"resumed: {', '.join(lifted)}")
    else:
        say(f"{_label(account)} was neither paused nor stopped")
    if everywhere is not None and everywhere.paused and not as_json:
        say(f"everything is paused, {_label(account)} with it → {with_home_option('extend-pipeline resume')}")
    ctx.exit(code)


def _ledger_key(pipeline: Pipeline, account: str | None) -> str:
    """Return the ledger's key of an account, or of all of them. Raises click.UsageError for an unknown one."""
    if account is None:
        return tables.ALL_ACCOUNTS
    with pipeline.ledger.read() as connection:
        used = queries.accounts(connection) if pipeline.configuration.problems else {}
    if account not in used:
        require_account(account, pipeline.accounts)
    return account


def _label(account: str | None) -> str:
    return EVERYTHING if account is None else f"account {account}"
