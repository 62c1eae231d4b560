"""Turns what a verb raised into words for a person and an exit code, without any secret."""

from __future__ import annotations

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
from extend_pipeline.commands.render.text import visible, with_home_option
from extend_pipeline.commands.render.zone import zone
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigError
from extend_pipeline.config.last_good import last_good_path

NEEDS_PERSON: Final = 1
WRONG_USE: Final = 2
CRASH: Final = 70  # EX_SOFTWARE of sysexits.h

_FORESEEN: Final[Mapping[str, int]] = {
    "PublishError": NEEDS_PERSON,
    "WarehouseError": WRONG_USE,
    "LedgerError": WRONG_USE,
    "StateInUseError": NEEDS_PERSON,
    "SQLAlchemyError": NEEDS_PERSON,  # the ledger's disk is full, it may not be written, or somebody holds it
    "UnrecordedError": NEEDS_PERSON,
    "SandboxError": WRONG_USE,
    "OSError": NEEDS_PERSON,  # a full disk, a folder that may not be written
}
"""Errors that say themselves what to do, and their exit codes; the first that fits counts."""

_STATEMENT: Final = re.compile(r"\s*\[SQL: .*?(?=; account |\Z)", re.DOTALL)  # what SQLAlchemy adds to a message
_MAX_REPORT: Final = 20_000  # characters of a crash report: a deep traceback, never a film
_MIN_SECRET: Final = 6  # shorter values are words like "yes", which must not be cut out of a report
_SOUNDS_SECRET: Final = re.compile(r"KEY|SECRET|TOKEN|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_NAMED: Final = re.compile(r"_env[\"']?\s*:\s*[\"']?([A-Z_][A-Z0-9_]*)")


def tell(error: Exception, *, home: Path | None) -> int:
    """Write one error to stderr; answers the exit code. Only a crash, which nobody foresaw, shows a traceback."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(visible(problem.text()), err=True)
        return WRONG_USE
    secrets = secrets_of(home)
    # by name: to import the ledger or the sandbox only to look at their errors would cost half a second
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for foreseen, code in _FORESEEN.items():
        if foreseen in kinds:
            told = _STATEMENT.sub("", str(error))
            if foreseen == "SQLAlchemyError":
                told = _of_the_ledger(error)
            elif isinstance(error, OSError):
                # what stdout says names no file
                told = (None if error.filename else _of_the_output()) or _of_a_disk(error, home) or told
            click.echo(with_home_option(visible(in_zone(scrub(told, secrets=secrets), zone())), home), err=True)
            return code
    report = scrub("".join(traceback.format_exception(error)), secrets=secrets, cap=_MAX_REPORT)
    click.echo(visible(report, keep_lines=True), err=True)
    click.echo(
        "This is a mistake in extend-pipeline. What was under way is cleared up by the next advance.",
        err=True,
    )
    return CRASH


def _of_the_ledger(error: Exception) -> str:
    """Return what the database said, without the statement that it said it of."""
    cause = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    return (
        f"the ledger could not be read or written: {cause[0]}. Nothing is sent without it, and the next advance goes "
        "on from what it holds. See to free space, permissions and who else has it open: extend-pipeline doctor"
    )


def _of_the_output() -> str | None:
    """Return what keeps stdout from being written, where something does; nothing more is written to it then."""
    try:
        sys.stdout.write("\n")  # what failed before is in no buffer any more
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - or Python tries again as it ends
        return f"what this command has to say can't be written: {error.strerror}. The work itself is done or goes on"
    return None


def _of_a_disk(error: OSError, home: Path | None) -> str | None:
    """Return what a full or read-only disk means; None where it is another error, or where nobody knows what is
    ours."""
    # here, since a verb that has failed may not have loaded them
    from extend_pipeline.config.settings import Settings
    from extend_pipeline.engine.guards.disk_space import as_disk_error

    try:
        told = as_disk_error(error, Settings() if home is None else Settings.for_home(home), awaited=0)
    except ConfigError:
        return None
    return None if told is None else str(told)


def secrets_of(home: Path | None) -> tuple[str, ...]:
    """Values of the environment that must not be shown, longest first: those that accounts.yaml names, and those whose
    name sounds like a secret. Works where the configuration is broken, too."""
    names = {name for name in os.environ if _SOUNDS_SECRET.search(name)}
    folder = home or Path(os.environ.get("EXTEND_PIPELINE_HOME") or "data")
    for path in (folder / ACCOUNTS_FILE, last_good_path(folder / "state")):
        try:
            names |= set(_NAMED.findall(path.read_text(encoding="utf-8", errors="replace")))
        except OSError:
            continue  # no accounts, no names
    found = {os.environ.get(name, "") for name in names}
    found |= userinfo_parts(os.environ.get("EXTEND_PIPELINE_LEDGER_URL", ""))
    return tuple(sorted((value for value in found if len(value) >= _MIN_SECRET), key=len, reverse=True))
