"""`doctor`: check everything that the work needs, and say how to fix what is wrong. Spends nothing."""

import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Final

import click

from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.doctor.diagnostics import Finding, Level, ok, problem, warning
from extend_pipeline.commands.doctor.local_checks import check_dagster, check_ledger, check_media
from extend_pipeline.commands.doctor.machine_checks import check_names, check_place, check_rights, mounted
from extend_pipeline.commands.doctor.result_checks import check_results
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.config.load import Configuration, read_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.home import open_home, wall_ms
from extend_pipeline.ledger.database import LedgerError, has_ledger
from extend_pipeline.media.store import FOLDERS
from extend_pipeline.providers.registry import PROVIDERS

WRONG_CONFIGURATION: Final = 2
MAX_ASKED_AT_ONCE: Final = 16
MAX_RESPONSE_S: Final = 5.0  # a short timeout, because an operator waits


@click.command()
@click.option("--offline", is_flag=True, help="Send nothing to any provider.")
@click.option("--deep", is_flag=True, help="Also read every film and compare its hash; resumes where it was stopped.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, offline: bool, deep: bool, as_json: bool) -> None:
    """Check everything that the work needs; spends nothing.

    Configuration, variables, ledger, media folder, films, disk, warehouse, clocks, what on this machine may cause
    trouble later, and whether the providers respond and accept the credentials.
    Shows no secret. Exit code 1 when there is a problem, 2 when the configuration is wrong.
    """
    settings = home_settings()
    configuration = read_configuration(settings, PROVIDERS, now=from_ms(wall_ms()))
    findings: list[Finding] = []
    width = max(len(level.value) for level in Level)
    for finding in check_home(configuration, offline=offline, deep=deep):
        findings.append(finding)
        if not as_json:
            say(f"{finding.level.value:{width}}  {finding.check}: {finding.message}")
            if finding.todo:
                say(f"    → {with_home_option(finding.todo)}")
    if as_json:
        emit(
            {
                "home": str(settings.home),
                "findings": [asdict(finding) | {"todo": with_home_option(finding.todo)} for finding in findings],
            }
        )
    else:
        counts = {level: sum(finding.level is level for finding in findings) for level in Level}
        say(", ".join(f"{level.value}: {count}" for level, count in counts.items()))
    if configuration.problems:
        ctx.exit(WRONG_CONFIGURATION)
    ctx.exit(1 if any(finding.level is Level.PROBLEM for finding in findings) else 0)


def check_home(configuration: Configuration, *, offline: bool, deep: bool = False) -> Iterator[Finding]:
    """Yield the findings as they are made: first those of this machine, while the providers are asked in parallel.

    With mistakes in the configuration, its valid part is checked.
    """
    settings = configuration.settings
    accounts = () if offline else configuration.accounts.values()
    with ThreadPoolExecutor(MAX_ASKED_AT_ONCE) as executor:
        futures = [executor.submit(_ask, account, settings) for account in accounts]
        yield from _check_configuration(configuration)
        yield check_place(settings, mounted())
        yield from check_rights(settings)
        yield from check_names(settings, configuration.catalogue.videos, configuration.accounts)
        yield from check_ledger(configuration)
        yield from check_media(settings)
        yield from check_results(settings, now_ms=wall_ms())
        yield check_dagster(os.environ)
        yield from _check_films(configuration, deep=deep)
        yield from _check_accounts(configuration)
        for future in futures:
            yield from future.result()


def _check_configuration(configuration: Configuration) -> Iterator[Finding]:
    yield from (problem("configuration", issue.text(), "fix the file") for issue in configuration.problems)
    if configuration.problems:
        return
    videos, accounts = len(configuration.catalogue.videos), len(configuration.accounts)
    yield ok("configuration", f"{configuration.settings.home}: videos: {videos}, accounts: {accounts}")
    for note in configuration.notes:
        yield warning("configuration", note, "change the file if that isn't intended")


def _check_films(configuration: Configuration, *, deep: bool) -> Iterator[Finding]:
    """Yield whether the ledger's films exist; nothing if the ledger can't be opened, because check_ledger reports
    it."""
    from extend_pipeline.commands.doctor.store_checks import check_store, check_store_deeply

    if not has_ledger(configuration.settings.ledger_url):
        return
    try:
        with open_home(configuration.settings, configuration=configuration, works=False) as pipeline:
            if deep:
                with click.progressbar(length=len(FOLDERS), label="reading films", file=sys.stderr) as bar:
                    yield from check_store_deeply(
                        pipeline, shown=lambda done: bar.update(FOLDERS.index(done.folder) - bar.pos)
                    )
            yield from check_store(pipeline)
    except LedgerError:
        return


def _check_accounts(configuration: Configuration) -> Iterator[Finding]:
    """Yield the findings about the accounts for which nothing is sent."""
    from extend_pipeline.commands.doctor.account_checks import (  # loads httpx
        check_alerts,
        check_callbacks,
        check_route,
        check_variables,
    )

    used = configuration.catalogue.accounts()
    for name, account in configuration.accounts.items():
        yield from check_variables(account, used=name in used)
        yield from check_callbacks(account)
        yield from check_route(account)
    yield from check_alerts(configuration)


def _ask(account: Account, settings: Settings) -> list[Finding]:
    from extend_pipeline.commands.doctor.account_checks import check_upstream

    deadline_s = min(settings.get_deadline_s, MAX_RESPONSE_S)
    return list(check_upstream(account, settings.model_copy(update={"get_deadline_s": deadline_s}), now=time.time))
