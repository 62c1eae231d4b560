"""Names of videos and accounts as arguments of a command line."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import click

from extend_pipeline.base.names import normal_name
from extend_pipeline.base.wording import counted
from extend_pipeline.commands.render.home import with_home_option
from extend_pipeline.commands.render.output import on_screen
from extend_pipeline.commands.render.text import minute
from extend_pipeline.config.issues import did_you_mean, shorten_value
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState

MAX_COMPARED: Final = 1000  # videos that a misspelled key is compared with


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return normal_name(str(value))


NAME: Final = _Name()
"""The name of a video or an account, or VIDEO/HOP, in Unicode's composed form, because a terminal may send another."""


def require_videos(keys: Collection[str], pipeline: Pipeline, *, hidden: Collection[str] = ()) -> None:
    """Raise click.UsageError if a key is neither in the catalogue nor in `hidden`."""
    catalogue = pipeline.configuration.catalogue
    for key in keys:
        if key not in catalogue.videos and key not in hidden:
            new_key = next((now for now, was in catalogue.renamed().items() if was == key), None)
            if new_key is None and (gone := _describe_gone(pipeline, key)) is not None:
                raise click.UsageError(gone)
            near = did_you_mean(key, list(catalogue.videos)[:MAX_COMPARED])
            hint = near or f"{with_home_option('extend-pipeline status --all')} lists its videos."
            renamed = None if new_key is None else f'It is called "{new_key}" now.'
            raise click.UsageError(f"the catalogue has no video {shorten_value(key)}. {renamed or hint}")


def _describe_gone(pipeline: Pipeline, key: str) -> str | None:
    """Return what was paid of a video that the ledger has and the catalogue lacks, and what to do; None for another."""
    with pipeline.ledger.read() as connection:
        video = next(iter(queries.videos(connection, keys=[key])), None)
        if video is None:
            return None
        withdrawn_ms = queries.withdrawn_at(connection, video)
        paid = {row.hop for row in queries.attempts_of(connection, [key]) if row.settled_micros}
    when = "" if withdrawn_ms is None else f" at {minute(withdrawn_ms)}"
    is_withdrawn = video.state is VideoState.WITHDRAWN  # else an edit waits to be recorded, or it is another home's
    gone = f"left the catalogue{when}" if is_withdrawn else "is in the ledger and not in the catalogue"
    command = f"extend-pipeline sql \"FROM extension_requests WHERE video_key = '{key}'\""
    return on_screen(
        f"video {key} {gone}: {counted(len(paid), 'hop')} of it paid, and nothing more is bought for it here. To go on "
        f"with it, put its entry back; to see what was made of it: {with_home_option(command)}"
    )


def require_account(name: str, accounts: Mapping[str, object]) -> None:
    """Raise click.UsageError if accounts.yaml has no account of this name."""
    if name not in accounts:
        hint = did_you_mean(name, accounts, label="Accounts")
        raise click.UsageError(f"accounts.yaml has no account {shorten_value(name)}. {hint}")
