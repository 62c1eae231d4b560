"""`status`: show the state of everything, what is in doubt, and what needs an operator, with the command to type."""

import click

from extend_pipeline.commands.render.describe import status_document
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.tables import (
    print_accounts,
    print_blockers,
    print_doubts,
    print_expiring,
    print_lower_prices,
    print_missing,
    print_unplanned,
    print_zone,
)
from extend_pipeline.commands.render.videos import print_videos
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.engine.guards.clock import describe_ahead
from extend_pipeline.engine.home import open_home
from extend_pipeline.engine.status import status as read_status


@click.command()
@json_option
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show where everything stands and what needs a person.

    Reads only. Exit code 1 when something needs a person, 2 when the catalogue or the accounts have a mistake.
    """
    with open_home(home_settings(), works=False) as pipeline:
        current = read_status(pipeline)
        if as_json:
            emit(status_document(current, pipeline.accounts) | {"timezone": pipeline.configuration.timezone})
        else:
            print_videos(current.plan.videos, pipeline.accounts)
            print_accounts(current.accounts)
            print_zone(current.accounts, pipeline.now_ms(), pipeline.configuration.timezone)
            if current.everything_paused:
                say(f"everything is paused → {with_home_option('extend-pipeline resume')}")
            if current.disk is not None and current.disk.is_short:
                say(f"disk: {current.disk.describe()}")
            if current.ledger_ahead_ms:
                say(f"clock: {describe_ahead(current.ledger_ahead_ms)}")
            print_lower_prices(current)
            print_doubts(current)
            print_unplanned(current)
            print_expiring(current, pipeline.now_ms())
            print_missing(current)
            print_blockers(current.plan)
        print_mistakes(pipeline)
    ctx.exit(current.exit_code)
