"""Names of videos and accounts as arguments of a command line."""

from collections.abc import Collection, Mapping
from typing import Any, Final

import click

from extend_pipeline.base.names import normal_name
from extend_pipeline.config.issues import did_you_mean

MAX_COMPARED: Final = 1000  # videos that a misspelled key is compared with


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return normal_name(str(value))


NAME: Final = _Name()
"""The name of a video or an account, or VIDEO/HOP, in Unicode's composed form, because a terminal may send another."""


def require_videos(keys: Collection[str], catalogue: Mapping[str, object], *, hidden: Collection[str] = ()) -> None:
    """Raise click.UsageError if a key is neither in the catalogue nor in `hidden`."""
    for key in keys:
        if key not in catalogue and key not in hidden:
            hint = did_you_mean(key, list(catalogue)[:MAX_COMPARED])
            raise click.UsageError(f"the catalogue has no video {key!r}. {hint}")


def require_account(name: str, accounts: Mapping[str, object]) -> None:
    """Raise click.UsageError if accounts.yaml has no account of this name."""
    if name not in accounts:
        hint = did_you_mean(name, accounts, label="Accounts")
        raise click.UsageError(f"accounts.yaml has no account {name!r}. {hint}")
