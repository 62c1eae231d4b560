"""Names of videos and accounts as words of a command line: a terminal may compose their letters another way."""

from __future__ import annotations

from typing import Any, Final

import click

from extend_pipeline.base.names import normal_name


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        return normal_name(str(value))


NAME: Final = _Name()
"""The name of a video or an account, or VIDEO/HOP, in the form in which names are kept."""
