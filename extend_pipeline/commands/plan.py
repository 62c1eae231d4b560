"""`plan`: show what would be done and what it would cost."""

import tempfile
from dataclasses import replace
from pathlib import Path

import click

from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.render.describe import plan_document
from extend_pipeline.commands.render.home import home_settings
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.tables import print_blockers, print_elsewhere, print_zone
from extend_pipeline.commands.render.videos import print_totals, print_videos
from extend_pipeline.commands.shared.selection import Selection, selection_options
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import read_configuration
from extend_pipeline.engine.guards.clock import describe_ahead, ledger_ahead_ms
from extend_pipeline.engine.home import Pipeline, open_home, wall_ms
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import PlanInput
from extend_pipeline.engine.plan.planner import plan as make_plan
from extend_pipeline.engine.status import accounts_now
from extend_pipeline.engine.store.missing import AT_A_GLANCE, store_now
from extend_pipeline.engine.submit.source_probe import with_measured_sources
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.providers.registry import PROVIDERS


@click.command()
@json_option
@selection_options
@click.option("--measure", is_flag=True, help="Fetch sources of unknown length and measure them; costs nothing.")
@click.pass_context
def plan(ctx: click.Context, as_json: bool, measure: bool, selection: Selection) -> None:
    """Show what would be done and what it would cost; changes nothing.

    With VIDEO or a filter, of these videos alone; how many others need a person is said, and counts. Of a long list 50
    are shown, those that need a person first, and complete ones only if they were chosen; --all and --json have all.

    Reads only: nothing is written, and nothing is sent without --measure. Exit code 1 when a video needs a person.
    Mistakes in the files are all reported, the valid videos are still planned, and the exit code is 2.
    """
    settings = home_settings()
    read = read_configuration(settings, PROVIDERS, now=from_ms(wall_ms()))
    error = ConfigError(read.problems) if read.problems else None
    configuration = replace(read, problems=())  # the plan of the valid part, as it is once the mistakes are fixed
    if error is not None and (not configuration.catalogue.videos or as_json):
        raise error
    with open_home(settings, configuration=configuration, works=False) as pipeline:
        pipeline.store_doubt = store_now(pipeline, limit=AT_A_GLANCE).doubt
        brief = not as_json and selection.may_be_brief(configuration.catalogue)
        read_input = plan_input(pipeline, brief=brief)
        made = make_plan(_measured(pipeline, read_input) if measure else read_input)
        selection.require_known(pipeline, may_be_hidden=error is not None)
        shown = selection.of(made)
        if as_json:
            document = plan_document(shown, pipeline.accounts)
            in_all = len(made.needs_person)
            emit(document | {"needs_person_in_all": in_all, "timezone": configuration.timezone})
        else:
            print_videos(shown, pipeline.accounts, everything=selection.everything, is_chosen=selection.is_narrow)
            print_totals(shown, pipeline.accounts)
            print_zone(accounts_now(pipeline), pipeline.now_ms(), configuration.timezone)
            print_blockers(shown, everything=selection.everything)
            print_elsewhere(made, shown, "extend-pipeline plan --needs-you")
            if ahead_ms := ledger_ahead_ms(pipeline):
                say(f"clock: {describe_ahead(ahead_ms)}")
            for note in configuration.notes:
                say(f"note: {note}")
    if error is not None:
        say("")
        say("mistakes to fix first; until then nothing is submitted:")
        raise error
    ctx.exit(1 if made.needs_person or made.ledger else 0)


def _measured(pipeline: Pipeline, read_input: PlanInput) -> PlanInput:
    """Return the plan's input with all sources measured. The files are fetched into a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="extend-pipeline-") as folder:
        return with_measured_sources(replace(pipeline, store=LocalStore(Path(folder))), read_input)
