"""The home as a Dagster resource: opens the engine's `Pipeline` when it is needed, or raises what is wrong."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.base.units import from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.config.files.text import is_there
from extend_pipeline.config.home_timezone import home_timezone
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigError, ConfigIssue
from extend_pipeline.config.load import Configuration, file_marks
from extend_pipeline.config.settings import Settings
from extend_pipeline.dagster_defs.jobs.alive import showing_life
from extend_pipeline.engine.guards.state_in_use import StateInUseError
from extend_pipeline.engine.home import Pipeline, open_home, read_files, wall_ms
from extend_pipeline.ledger.database import LedgerError, has_ledger

_read: Final[dict[Settings, tuple[tuple[object, ...], Configuration]]] = {}
"""The configuration read last, by settings, and the marks of the home's files. It is cached because ticks come every
few seconds."""


class HomeResource(dg.ConfigurableResource[Any]):
    """The places of the catalogue, the accounts and the state. The ledger is opened by `open` alone."""

    home: str = Field(default="", description="Folder of catalog.yaml. Empty: EXTEND_PIPELINE_HOME, else data.")
    ledger_url_env: str = Field(
        default="",
        description="Environment variable that holds the ledger's address, where several homes are mounted. Empty: "
        "EXTEND_PIPELINE_LEDGER_URL, else SQLite in the home.",
    )
    linger_s: float | None = Field(
        default=None,
        description="advance_job ends when nothing is due within so many seconds. Empty: EXTEND_PIPELINE_LINGER_S, "
        "else 120.",
    )
    partition_timeout_s: float = Field(
        default=7_200, description="How long a run that was started by hand drives its videos, in seconds."
    )

    def settings(self) -> Settings:
        """Return the settings, from this resource first and the environment for the rest. Raises ConfigError."""
        values: dict[str, Any] = {"home": Path(self.home)} if self.home else {}
        if self.ledger_url_env:
            # without it the home would start an empty ledger, without any of the payments
            if not (url := os.environ.get(self.ledger_url_env)):
                hint = "Set it to sqlite:///… or postgresql://…"
                raise ConfigError([ConfigIssue("environment", None, "is not set", hint, field=self.ledger_url_env)])
            values["ledger_url"] = url
        return Settings(**values, **({} if self.linger_s is None else {"linger_s": self.linger_s}))

    def timezone(self) -> str:
        """Return the home's time zone by its IANA name; UTC if settings or accounts can't be read."""
        try:
            return home_timezone(self.settings())
        except ConfigError:
            return UTC_ZONE

    def why_not_set_up(self) -> str | None:
        """Return why there is nothing to do yet, if the home has neither accounts nor a ledger; None otherwise. In a
        home with a ledger, missing accounts are a mistake, and its paid tasks are still polled and fetched."""
        settings = self._settings()
        home = settings.home
        if is_there(home / ACCOUNTS_FILE) or has_ledger(settings.ledger_url):
            return None
        return settings.with_home(f"{home} has no {ACCOUNTS_FILE} yet: `extend-pipeline init` writes an example")

    def _settings(self) -> Settings:
        try:
            return self.settings()
        except ConfigError as error:
            raise failure(error) from None

    def configuration(self) -> Configuration:
        """Return the files of the home as they are, mistakes included, without its ledger. Raises ConfigError."""
        return _read_configuration(self.settings())[1]

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Any]:
        """Yield this resource for a run or a tick. A run gives signs of life meanwhile."""
        with ExitStack() as stack:
            if context.run is not None and context.instance is not None:
                stack.enter_context(showing_life(context.instance, context.run.run_id))
            yield stack.enter_context(super().yield_for_execution(context))

    @contextmanager
    def open(self, *, get_deadline_s: float | None = None) -> Iterator[Pipeline]:
        """Yield the open home. It also opens if catalogue or accounts have mistakes, because paid tasks must be polled
        and fetched; the caller reports the mistakes. Raises Failure with every mistake of the settings, and of the
        files if there is no ledger yet. No message contains a secret. `get_deadline_s` shortens the deadline of
        queries, for a tick."""
        settings = self._settings()
        try:
            marks, configuration = _read_configuration(settings)
            if get_deadline_s is not None:
                settings = settings.model_copy(update={"get_deadline_s": min(get_deadline_s, settings.get_deadline_s)})
                configuration = replace(configuration, settings=settings)
            with open_home(settings, configuration=configuration, marks=marks) as pipeline:
                yield pipeline
        except (ConfigError, LedgerError, StateInUseError) as error:  # the ledger may be moved away meanwhile
            raise failure(error, settings) from None


def failure(error: ConfigError | LedgerError | StateInUseError, settings: Settings | None = None) -> dg.Failure:
    """Return the Failure for a mistake of the user: all messages, without a retry. Commands in it name the home of the
    settings, if these could be read."""
    message = str(error) if settings is None else settings.with_home(str(error))
    if not isinstance(error, ConfigError):
        return dg.Failure(message, allow_retries=False)
    count = len(error.problems)
    head = f"{counted(count, 'mistake')} in the catalogue, the accounts or the settings:"
    return dg.Failure(f"{head}\n{message}", metadata={"mistakes": count}, allow_retries=False)


def _read_configuration(settings: Settings) -> tuple[tuple[object, ...], Configuration]:
    """Return the marks of the home's files, and the configuration that was read from them."""
    # a catalogue that was read before there was a state folder could not be remembered there
    marks = (settings.state_dir.is_dir(), *file_marks(settings.home))
    known = _read.get(settings)
    # mistakes are read again each time, because a permission that is restored changes no file
    if known is None or known[0] != marks or known[1].problems or known[1].catalogue.changed_images():
        known = _read[settings] = (marks, read_files(settings, now=from_ms(wall_ms()), keep=True))
    return known[0][1:], known[1]
