"""Opens the home that a verb works on: for reading only, or for work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.load import Configuration, load_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.pipeline import Pipeline, wall_ms
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.media.store import MediaStore


def settings_of(home: Path | None) -> Settings:
    """The settings of the home named on the command line, or of the environment's. Raises ConfigError."""
    return Settings() if home is None else Settings.for_home(home)


def has_ledger(url: str) -> bool:
    """Whether there is a ledger at a URL; creates nothing. A database that can't be reached counts as there: opening it
    tells why it can't be."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and not (parsed.database and Path(parsed.database).exists()):
            return False
        ledger = Ledger(url)
        try:
            return inspect(ledger.engine).has_table("alembic_version")
        finally:
            ledger.close()
    except (SQLAlchemyError, OSError):
        return True


@contextmanager
def open_for_reading(settings: Settings, configuration: Configuration | None = None) -> Iterator[Pipeline]:
    """Open a home to look at it: a home without a ledger is read against an empty one elsewhere, and stays without.

    Raises ConfigError before anything is touched, and LedgerError.
    """
    if configuration is None:
        configuration = load_configuration(settings, now=from_ms(wall_ms()))
    with tempfile.TemporaryDirectory(prefix="extend-pipeline-") as folder:
        there = has_ledger(settings.ledger_url)
        ledger = open_ledger(settings.ledger_url if there else f"sqlite:///{folder}/ledger.sqlite")
        pipeline = Pipeline(configuration, ledger, MediaStore(settings.media_dir))
        try:
            yield pipeline
        finally:
            pipeline.close()
