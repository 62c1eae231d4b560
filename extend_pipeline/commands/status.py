"""`status`: where everything stands, what is in doubt, and what needs a person, with the command to type."""

from __future__ import annotations

from pathlib import Path

import click

from extend_pipeline.commands.render.describe import status_document
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.tables import (
    print_accounts,
    print_doubts,
    print_expiring,
    print_lower_prices,
    print_missing,
    print_obstacles,
    print_unplanned,
    print_zone,
)
from extend_pipeline.commands.render.text import with_home_option
from extend_pipeline.commands.render.videos import print_videos
from extend_pipeline.commands.shared.home import print_mistakes, settings_of
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
    home: Path | None = ctx.obj
    with open_home(settings_of(home), works=False) as pipeline:
        found = read_status(pipeline)
        if as_json:
            emit(status_document(found, pipeline.accounts, home=home) | {"timezone": pipeline.configuration.timezone})
        else:
            print_videos(found.plan.videos, pipeline.accounts)
            print_accounts(found.accounts)
            print_zone(found.accounts, pipeline.now_ms(), pipeline.configuration.timezone)
            if found.everything_paused:
                say(f"everything is paused → {with_home_option('extend-pipeline resume', home)}")
            if found.disk is not None and found.disk.is_short:
                say(f"disk: {found.disk.describe()}")
            if found.ledger_ahead_ms:
                say(f"clock: {describe_ahead(found.ledger_ahead_ms)}")
            print_lower_prices(found)
            print_doubts(found, home=home)
            print_unplanned(found)
            print_expiring(found, pipeline.now_ms(), home=home)
            print_missing(found, home=home)
            print_obstacles(found.plan, home=home)
        print_mistakes(pipeline)
    ctx.exit(found.exit_code)
