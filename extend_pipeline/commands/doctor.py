"""`doctor`: looks at everything that the work needs, and says what to do about what is wrong. Spends nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.findings import Finding, Level, ok, problem, warning
from extend_pipeline.commands.local_checks import check_dagster, check_ledger, check_media
from extend_pipeline.commands.opening import open_for_reading, settings_of
from extend_pipeline.commands.output import emit, json_option, say
from extend_pipeline.commands.result_checks import check_results
from extend_pipeline.commands.text import typed
from extend_pipeline.config.load import Configuration, read_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.pipeline import wall_ms
from extend_pipeline.ledger.database import LedgerError, has_ledger
from extend_pipeline.media.listing import FOLDERS

WRONG_CONFIGURATION = 2


@click.command()
@click.option("--offline", is_flag=True, help="Ask no provider anything.")
@click.option("--deep", is_flag=True, help="Also read every film and compare its hash; goes on where it was ended.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, offline: bool, deep: bool, as_json: bool) -> None:
    """Check everything that the work needs.

    Configuration, variables, ledger, media folder, films, disk, warehouse, clocks, and whether the accounts answer.
    Spends nothing and shows no secret. Exit code 1 when there is a problem, 2 when the configuration is wrong.
    """
    home: Path | None = ctx.obj
    settings = settings_of(home)
    findings, sound = examine(settings, offline=offline, deep=deep)
    if as_json:
        emit(
            {
                "home": str(settings.home),
                "findings": [
                    {
                        "level": finding.level.value,
                        "check": finding.check,
                        "message": finding.message,
                        "todo": typed(finding.todo, home),
                    }
                    for finding in findings
                ],
            }
        )
    else:
        width = max(len(level.value) for level in Level)
        for finding in findings:
            say(f"{finding.level.value:{width}}  {finding.check}: {finding.message}")
            if finding.todo:
                say(f"    → {typed(finding.todo, home)}")
        counts = {level: sum(finding.level is level for finding in findings) for level in Level}
        say(", ".join(f"{level.value}: {count}" for level, count in counts.items()))
    if not sound:
        ctx.exit(WRONG_CONFIGURATION)
    ctx.exit(1 if any(finding.level is Level.PROBLEM for finding in findings) else 0)


def examine(settings: Settings, *, offline: bool, deep: bool = False) -> tuple[list[Finding], bool]:
    """All findings, and whether the configuration is sound. What is sound beside its mistakes is looked at anyway."""
    findings: list[Finding] = []
    configuration = _read(settings, findings)
    findings += check_ledger(settings)
    findings += check_media(settings)
    findings += check_results(settings, now_ms=wall_ms())
    findings.append(check_dagster(os.environ))
    findings += _films(configuration, deep=deep)
    findings += _accounts(configuration, offline=offline)
    return findings, not configuration.problems


def _read(settings: Settings, findings: list[Finding]) -> Configuration:
    configuration = read_configuration(settings, now=from_ms(wall_ms()))
    findings += [problem("configuration", found.text(), "correct the file") for found in configuration.problems]
    if configuration.problems:
        return configuration
    videos, accounts = len(configuration.catalogue.videos), len(configuration.accounts)
    findings.append(ok("configuration", f"{settings.home}: videos: {videos}, accounts: {accounts}"))
    findings += [warning("configuration", note, "change the file if that isn't meant") for note in configuration.notes]
    return configuration


def _films(configuration: Configuration, *, deep: bool) -> Iterator[Finding]:
    """Whether the films are there that the ledger knows. A ledger that can't be opened is told elsewhere."""
    from extend_pipeline.commands.store_checks import check_store, check_store_deeply

    if not has_ledger(configuration.settings.ledger_url):
        return
    try:
        with open_for_reading(configuration.settings, configuration) as pipeline:
            if deep:
                with click.progressbar(length=len(FOLDERS), label="reading films", file=sys.stderr) as bar:
                    yield from check_store_deeply(pipeline, shown=lambda done: _show(bar, done.folder))
            yield from check_store(pipeline)
    except LedgerError:
        return


def _show(bar: Any, folder: str) -> None:
    bar.update(FOLDERS.index(folder) - bar.pos)


def _accounts(configuration: Configuration, *, offline: bool) -> Iterator[Finding]:
    from extend_pipeline.commands.account_checks import (
        check_callbacks,
        check_route,
        check_upstream,
        check_variables,
    )  # they load httpx

    used = {video.account for video in configuration.catalogue.videos.values()}
    for name, account in configuration.accounts.items():
        yield from check_variables(account, used=name in used)
        yield from check_callbacks(account)
        yield from check_route(account)
        if not offline:
            yield from check_upstream(account, configuration.settings, now=time.time)
