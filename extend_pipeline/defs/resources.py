"""The home as a Dagster resource: opens the engine's `Pipeline` at the moment of use, or tells what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from extend_pipeline.config.load import Configuration, load_configuration
from extend_pipeline.config.problems import ACCOUNTS_FILE, ConfigError
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.pipeline import Pipeline, file_marks
from extend_pipeline.ledger.database import LedgerError, open_ledger
from extend_pipeline.media.store import MediaStore

_read: Final[dict[Settings, tuple[tuple[object, ...], Configuration]]] = {}
"""What was read last, by settings: ticks come every few seconds, and 10,000 entries take 1.7 s to read and check."""


class HomeResource(dg.ConfigurableResource[Any]):
    """Where the catalogue, the accounts and the state are. Nothing is read until `open`."""

    home: str = Field(default="", description="Folder of catalog.yaml. Empty: EXTEND_PIPELINE_HOME, else data.")
    linger_s: float | None = Field(
        default=None, description="How long advance_job waits for more. Empty: EXTEND_PIPELINE_LINGER_S, else 120."
    )
    partition_timeout_s: float = Field(
        default=7_200, gt=0, description="How long a run that was started by hand drives its videos, in seconds."
    )

    def settings(self) -> Settings:
        """The settings, from this resource first and the environment for the rest. Raises ConfigError."""
        given: dict[str, Any] = {"home": Path(self.home)} if self.home else {}
        return Settings(**given, **({} if self.linger_s is None else {"linger_s": self.linger_s}))

    def lacks_accounts(self) -> str | None:
        """Why there is nothing to do yet, where the home has no accounts; None where it has."""
        try:
            home = self.settings().home
        except ConfigError as error:
            raise failure(error) from None
        if (home / ACCOUNTS_FILE).exists():
            return None
        return f"{home} has no {ACCOUNTS_FILE} yet: `extend-pipeline init` writes an example"

    @contextmanager
    def open(self) -> Iterator[Pipeline]:
        """The open home. Raises Failure with every mistake of catalogue, accounts and settings; secrets stand in none
        of them."""
        try:
            pipeline = _open(self.settings())
        except (ConfigError, LedgerError) as error:
            raise failure(error) from None
        try:
            yield pipeline
        finally:
            pipeline.close()


def failure(error: ConfigError | LedgerError) -> dg.Failure:
    """An error of what the user wrote, as Dagster shows it: in words, without a retry."""
    if not isinstance(error, ConfigError):
        return dg.Failure(str(error), allow_retries=False)
    count = len(error.problems)
    head = f"{count} mistake{'s' if count != 1 else ''} in the catalogue, the accounts or the settings:"
    return dg.Failure(f"{head}\n{error}", metadata={"mistakes": count}, allow_retries=False)


def _open(settings: Settings) -> Pipeline:
    marks = file_marks(settings.home)
    known = _read.get(settings)
    if known is None or known[0] != marks:
        from datetime import UTC, datetime

        known = _read[settings] = (marks, load_configuration(settings, now=datetime.now(UTC)))
    ledger = open_ledger(settings.ledger_url)
    return Pipeline(known[1], ledger, MediaStore(settings.media_dir), marks=marks)
