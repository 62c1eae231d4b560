"""`plan`: what would be done and what it would cost, before anything is spent."""

from __future__ import annotations

from pathlib import Path

import click

from extend_pipeline.commands.boards import print_obstacles, print_totals, print_videos
from extend_pipeline.commands.describe import plan_document
from extend_pipeline.commands.opening import open_for_reading, settings_of
from extend_pipeline.commands.output import emit, json_option
from extend_pipeline.engine.plan import plan as make_plan
from extend_pipeline.engine.snapshot import plan_input


@click.command()
@json_option
@click.pass_context
def plan(ctx: click.Context, as_json: bool) -> None:
    """Show what would be done and what it would cost.

    Reads only: nothing is written, nothing is sent. Exit code 1 when a video needs a person.
    """
    home: Path | None = ctx.obj
    with open_for_reading(settings_of(home)) as pipeline:
        made = make_plan(plan_input(pipeline))
        if as_json:
            emit(plan_document(made, pipeline.accounts, home=home))
        else:
            print_videos(made.videos, pipeline.accounts)
            print_totals(made.videos, pipeline.accounts)
            print_obstacles(made.videos, home=home)
    ctx.exit(1 if made.needs_person else 0)
