"""The home that a verb works on: its settings, and the mistakes in its files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from extend_pipeline.commands.render.text import visible
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.home import Pipeline

WRONG_CONFIGURATION: Final = 2


def settings_of(home: Path | None) -> Settings:
    """Return the settings of the home named on the command line, or of the environment's. Raises ConfigError."""
    return Settings() if home is None else Settings.for_home(home)


def print_mistakes(pipeline: Pipeline) -> int:
    """Write what is wrong with the catalogue and the accounts to stderr; return the exit code that it stands for, 0
    where nothing is."""
    wrong = mistakes(pipeline)
    if wrong:
        click.echo("mistakes to correct; until then nothing is submitted, what is paid for is looked after:", err=True)
    for line in wrong:
        click.echo(visible(line), err=True)
    return WRONG_CONFIGURATION if wrong else 0
