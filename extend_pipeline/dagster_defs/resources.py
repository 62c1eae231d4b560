"""The home as a Dagster resource: opens the engine's `Pipeline` at the moment of use, or tells what is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from extend_pipeline.base.days import NO_ZONE
from extend_pipeline.base.units import from_ms
from extend_pipeline.config.files.text import is_there
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigError
from extend_pipeline.config.load import Configuration, file_marks, home_timezone, read_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.state_in_use import StateInUseError
from extend_pipeline.engine.home import Pipeline, open_home, wall_ms
from extend_pipeline.ledger.database import LedgerError, has_ledger
from extend_pipeline.providers.registry import PROVIDERS

_read: Final[dict[Settings, tuple[tuple[object, ...], Configuration]]] = {}
"""What was read last, by settings: ticks come every few seconds, and 10,000 entries take 1.7 s to read and check."""


class HomeResource(dg.ConfigurableResource[Any]):
    """Where the catalogue, the accounts and the state are. Nothing is read until `open`."""

    home: str = Field(default="", description="Folder of catalog.yaml. Empty: EXTEND_PIPELINE_HOME, else data.")
    linger_s: float | None = Field(
        default=None, description="How long advance_job waits for more. Empty: EXTEND_PIPELINE_LINGER_S, else 120."
    )
    partition_timeout_s: float = Field(
        default=7_200, description="How long a run that was started by hand drives its videos, in seconds."
    )

    def settings(self) -> Settings:
        """Return the settings, from this resource first and the environment for the rest. Raises ConfigError."""
        given: dict[str, Any] = {"home": Path(self.home)} if self.home else {}
        return Settings(**given, **({} if self.linger_s is None else {"linger_s": self.linger_s}))

    def timezone(self) -> str:
        """Return the home's time zone by its IANA name; UTC where settings or accounts can't be read."""
        try:
            return home_timezone(self.settings())
        except ConfigError:
            return NO_ZONE

    def lacks_accounts(self) -> str | None:
        """Return why there is nothing to do yet, where the home has neither accounts nor a ledger; None where it has. A
        file that is gone from a home with a ledger is a mistake, and what is paid for is looked after."""
        try:
            settings = self.settings()
        except ConfigError as error:
            raise failure(error) from None
        home = settings.home
        if is_there(home / ACCOUNTS_FILE) or has_ledger(settings.ledger_url):
            return None
        return f"{home} has no {ACCOUNTS_FILE} yet: `extend-pipeline init` writes an example"

    @contextmanager
    def open(self) -> Iterator[Pipeline]:
        """Yield the open home; where catalogue or accounts have mistakes it opens all the same, to look after what is
        paid for, and they are told by whoever opened it. Raises Failure with every mistake of the settings, and of the
        files where there is no ledger yet; secrets stand in none of them."""
        try:
            settings = self.settings()
            marks, configuration = _read_configuration(settings)
            with open_home(settings, configuration=configuration, marks=marks) as pipeline:
                yield pipeline
        except (ConfigError, LedgerError, StateInUseError) as error:  # the ledger may also be moved away meanwhile
            raise failure(error) from None


def failure(error: ConfigError | LedgerError | StateInUseError) -> dg.Failure:
    """Return an error of what the user wrote, as Dagster shows it: in words, without a retry."""
    if not isinstance(error, ConfigError):
        return dg.Failure(str(error), allow_retries=False)
    count = len(error.problems)
    head = f"{count} mistake{'s' if count != 1 else ''} in the catalogue, the accounts or the settings:"
    return dg.Failure(f"{head}\n{error}", metadata={"mistakes": count}, allow_retries=False)


def _read_configuration(settings: Settings) -> tuple[tuple[object, ...], Configuration]:
    """Return the marks of the home's files, and the configuration that was read from them."""
    marks = file_marks(settings.home)
    known = _read.get(settings)
    # mistakes are read again each time: a right that was lost and is given back changes no file
    if known is None or known[0] != marks or known[1].problems:
        known = _read[settings] = (marks, read_configuration(settings, PROVIDERS, now=from_ms(wall_ms())))
    return known
