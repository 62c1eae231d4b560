"""Opens the home that a verb works on: for reading only, or for work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.render.text import visible
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import Configuration, read_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.home import Pipeline, opened_configuration, wall_ms
from extend_pipeline.ledger.database import has_ledger, open_ledger
from extend_pipeline.media.store import MediaStore
from extend_pipeline.providers.registry import PROVIDERS

WRONG_CONFIGURATION: Final = 2


def settings_of(home: Path | None) -> Settings:
    """The settings of the home named on the command line, or of the environment's. Raises ConfigError."""
    return Settings() if home is None else Settings.for_home(home)


@contextmanager
def open_for_reading(settings: Settings, configuration: Configuration | None = None) -> Iterator[Pipeline]:
    """Open a home to look at it: a home without a ledger is read against an empty one elsewhere, and stays without.

    Mistakes in the configuration don't keep a home that has a ledger from being looked at. Raises ConfigError where
    there is none, and LedgerError.
    """
    there = has_ledger(settings.ledger_url)
    if configuration is None:
        configuration = read_configuration(settings, PROVIDERS, now=from_ms(wall_ms()))
        if configuration.problems and not there:
            raise ConfigError(configuration.problems)
    with tempfile.TemporaryDirectory(prefix="extend-pipeline-") as folder:
        ledger = open_ledger(settings.ledger_url if there else f"sqlite:///{folder}/ledger.sqlite")
        configuration = opened_configuration(configuration, ledger, keep=False)
        pipeline = Pipeline(configuration, ledger, MediaStore(settings.media_dir), works=False)
        try:
            yield pipeline
        finally:
            pipeline.close()


def print_mistakes(pipeline: Pipeline) -> int:
    """Write what is wrong with the catalogue and the accounts to stderr; return the exit code that it stands for, 0
    where nothing is."""
    wrong = mistakes(pipeline)
    if wrong:
        click.echo("mistakes to correct; until then nothing is submitted, what is paid for is looked after:", err=True)
    for line in wrong:
        click.echo(visible(line), err=True)
    return WRONG_CONFIGURATION if wrong else 0
