"""The mistakes in the files of a verb's home."""

from typing import Final

import click

from extend_pipeline.commands.render.home import with_home_option
from extend_pipeline.commands.render.text import visible
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.home import Pipeline

WRONG_CONFIGURATION: Final = 2


def print_mistakes(pipeline: Pipeline) -> int:
    """Write the mistakes in the catalogue and the accounts to stderr. Return their exit code, 0 without mistakes."""
    lines = mistakes(pipeline)
    if lines:
        click.echo(
            "mistakes to fix; until then nothing is submitted, and what is paid for is still polled and fetched:",
            err=True,
        )
    for line in lines:
        click.echo(with_home_option(visible(line)), err=True)
    return WRONG_CONFIGURATION if lines else 0
