"""`status`: show the state of everything, what is in doubt, and what needs an operator, with the command to type."""

from dataclasses import replace

import click

from extend_pipeline.commands.render.describe import status_document
from extend_pipeline.commands.render.home import home_settings
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.tables import (
    print_accounts,
    print_blockers,
    print_doubts,
    print_elsewhere,
    print_expiring,
    print_lower_prices,
    print_missing,
    print_paused,
    print_unplanned,
    print_withdrawn,
    print_zone,
)
from extend_pipeline.commands.render.videos import print_videos
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.commands.shared.selection import Selection, selection_options
from extend_pipeline.engine.guards.clock import describe_ahead
from extend_pipeline.engine.home import open_home
from extend_pipeline.engine.status import status as read_status


@click.command()
@json_option
@selection_options
@click.pass_context
def status(ctx: click.Context, as_json: bool, selection: Selection) -> None:
    """Show where everything stands and what needs a person.

    With VIDEO or a filter, of these videos alone; how many others need a person is said, and counts. Of a long list 50
    are shown, those that need a person first, and complete ones only if they were chosen; --all and --json have all.

    Reads only. Exit code 1 when something needs a person, 2 when the catalogue or the accounts have a mistake.
    """
    with open_home(home_settings(), works=False) as pipeline:
        brief = not as_json and selection.may_be_brief(pipeline.configuration.catalogue)
        current = read_status(pipeline, brief=brief)
        selection.require_known(pipeline, may_be_hidden=bool(current.mistakes))
        shown = selection.of(current.plan)
        if as_json:
            document = status_document(replace(current, plan=shown), pipeline.accounts)
            in_all = len(current.plan.needs_person)
            emit(document | {"needs_person_in_all": in_all, "timezone": pipeline.configuration.timezone})
        else:
            print_videos(shown, pipeline.accounts, everything=selection.everything, is_chosen=selection.is_narrow)
            print_accounts(current.accounts)
            print_zone(current.accounts, pipeline.now_ms(), pipeline.configuration.timezone)
            print_paused(current)
            if current.disk is not None and current.disk.is_short:
                say(f"disk: {current.disk.describe()}")
            if current.ledger_ahead_ms:
                say(f"clock: {describe_ahead(current.ledger_ahead_ms)}")
            print_lower_prices(current)
            print_doubts(current)
            print_withdrawn(current)
            print_unplanned(current)
            print_expiring(current, pipeline.now_ms())
            print_missing(current)
            print_blockers(shown, everything=selection.everything)
            print_elsewhere(current.plan, shown, "extend-pipeline status --needs-you")
        print_mistakes(pipeline)
    ctx.exit(current.exit_code)
