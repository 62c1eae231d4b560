"""Report a verb's error to the operator, with an exit code and without any secret."""

import os
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.scrub import scrub
from extend_pipeline.base.userinfo import userinfo_parts
from extend_pipeline.commands.render.home import home_option, home_settings, with_home_option, zone
from extend_pipeline.commands.render.output import drop_stdout
from extend_pipeline.commands.render.text import visible
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigError
from extend_pipeline.config.last_good import last_good_path

NEEDS_PERSON: Final = 1
WRONG_USE: Final = 2
CRASH: Final = 70  # EX_SOFTWARE of sysexits.h

_EXPECTED: Final[Mapping[str, int]] = {
    "PublishError": NEEDS_PERSON,
    "WarehouseError": WRONG_USE,
    "LedgerError": WRONG_USE,
    "StateInUseError": NEEDS_PERSON,
    "SQLAlchemyError": NEEDS_PERSON,  # the ledger's disk is full, or the ledger is read-only or locked
    "UnrecordedError": NEEDS_PERSON,
    "SandboxError": WRONG_USE,
    "OSError": NEEDS_PERSON,  # a full disk, a folder that may not be written
}
"""Exit codes of errors whose message says what to do. The first class that matches counts."""

_STATEMENT: Final = re.compile(r"\s*\[SQL: .*?(?=; account |\Z)", re.DOTALL)  # what SQLAlchemy adds to a message
_MAX_REPORT: Final = 20_000  # characters of a crash report: a deep traceback, never a film
_MIN_SECRET: Final = 6  # characters; shorter values are words like "yes", which must not be cut out of a report
_SECRET_NAME: Final = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_ENV_FIELD: Final = re.compile(r"_env[\"']?\s*:\s*[\"']?([A-Z_][A-Z0-9_]*)")


def report_error(error: Exception) -> int:
    """Write an error to stderr and return the exit code. Only an unexpected error is written with its traceback."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(with_home_option(visible(problem.text())), err=True)
        return WRONG_USE
    secrets = secrets_of()
    # compared by name, because importing the ledger or the sandbox for their error classes would take 0.5 s
    class_names = {kind.__name__ for kind in type(error).__mro__}
    for class_name, code in _EXPECTED.items():
        if class_name in class_names:
            message = _STATEMENT.sub("", str(error))
            if class_name == "SQLAlchemyError":
                message = _describe_ledger_error(error)
            elif isinstance(error, OSError):
                # an error of stdout names no file
                message = (None if error.filename else _stdout_error()) or _describe_disk_error(error) or message
            click.echo(with_home_option(visible(in_zone(scrub(message, secrets=secrets), zone()))), err=True)
            return code
    report = scrub("".join(traceback.format_exception(error)), secrets=secrets, cap=_MAX_REPORT)
    click.echo(visible(report, keep_lines=True), err=True)
    click.echo(
        "This is a bug in extend-pipeline. The next advance recovers the work that was under way.",
        err=True,
    )
    return CRASH


def _describe_ledger_error(error: Exception) -> str:
    """Return a message with the database's own first line, without the SQL statement."""
    cause = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return (
        f"the ledger could not be read or written: {cause[0]}. Nothing is sent without it, and the next advance goes "
        "on from what it holds. See to free space, permissions and who else has it open: extend-pipeline doctor"
    )


def _stdout_error() -> str | None:
    """Return a message if stdout can't be written, and close it; None if it can."""
    try:
        sys.stdout.write("\n")  # the text that failed is no longer in the buffer, so something must be written
        sys.stdout.flush()
    except OSError as error:
        drop_stdout()
        return f"the output of this command can't be written: {error.strerror}. The work itself is done or goes on"
    return None


def _describe_disk_error(error: OSError) -> str | None:
    """Return a message for a full or read-only disk; None for another error, or if the settings can't be read."""
    # imported late, because the verb may have failed before it loaded it
    from extend_pipeline.engine.guards.disk_space import as_disk_error

    try:
        disk_error = as_disk_error(error, home_settings(), awaited=0)
    except ConfigError:
        return None
    return None if disk_error is None else str(disk_error)


def secrets_of() -> tuple[str, ...]:
    """Return the environment's values that must not be shown, longest first: those of variables that accounts.yaml
    names, or whose own name looks like a secret. Works with an invalid configuration, too."""
    names = {name for name in os.environ if _SECRET_NAME.search(name)}
    folder = home_option() or Path(os.environ.get("EXTEND_PIPELINE_HOME") or "data")
    for path in (folder / ACCOUNTS_FILE, last_good_path(folder / "state")):
        try:
            if path.is_file():  # a pipe would be waited for
                names |= set(_ENV_FIELD.findall(path.read_text(encoding="utf-8", errors="replace")))
        except OSError:
            continue  # no accounts, no names
    values = {os.environ.get(name, "") for name in names}
    values |= userinfo_parts(os.environ.get("EXTEND_PIPELINE_LEDGER_URL", ""))
    return tuple(sorted((value for value in values if len(value) >= _MIN_SECRET), key=len, reverse=True))
