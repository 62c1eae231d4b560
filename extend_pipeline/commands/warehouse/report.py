"""`report`: write an HTML file about the published warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from extend_pipeline.commands.render.home import home_settings, zone
from extend_pipeline.commands.render.output import say

SUFFIXES: Final = (".html", ".htm")


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write it there, and not to state/report.html of the home.",
)
def report(out: Path | None) -> None:
    """Write an HTML report about the published warehouse.

    One file without scripts that opens in any browser, also without a network: what is finished, growing and waiting
    for a person, what was spent by currency, day and account, and the videos that cost most. It is about the file that
    was published last; `publish` brings that up to date. Days and times are those of the home's timezone. It needs the
    extra `report`, for its charts.
    """
    from extend_pipeline.report.charts import NotInstalledError
    from extend_pipeline.report.write import write_report

    settings = home_settings()
    path = settings.report_path if out is None else out
    # of any other name it might be the ledger that is replaced
    if path.suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"--out writes a web page; call it {path.name}.html, not {path.name}")
    if out is not None and not path.parent.is_dir():
        raise click.UsageError(f"{path} can't be written: there is no folder {path.parent}")
    try:
        written = write_report(settings.warehouse_path, path, timezone=zone())
    except NotInstalledError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"{path} can't be written: {error.strerror or error}") from None
    about = written.contents
    say(f"{path}: {written.size:,} bytes")
    published = f"{about.published_at:%Y-%m-%d %H:%M} {about.timezone}"
    say(f"about the warehouse as published at {published}, up to event {about.ledger_seq}")
