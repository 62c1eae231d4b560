"""Options that several verbs share."""

import getpass
import math
from collections.abc import Callable
from typing import Any, Final

import click

from extend_pipeline.commands.render.output import json_option

CENTURY_S: Final = 100 * 365 * 86_400.0


class Seconds(click.FloatRange):
    """Seconds, from zero to a hundred years. NaN is refused, because every comparison with it is false."""

    name = "seconds"

    def __init__(self, *, above_zero: bool = False, negative: bool = False) -> None:
        super().__init__(min=-CENTURY_S if negative else 0.0, max=CENTURY_S, min_open=above_zero)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Raises click.BadParameter if it is none, or out of bounds."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def login_name() -> str:
    """Return the login name of the operator."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have a number and no name
        return "unknown"


who_option = click.option("--who", default=login_name, help="Who decides. Default: your login name.")
why_option = click.option("--why", default="", help="The reason, for later readers of the ledger.")


def decision_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a verb that records a decision: --why, --who and --json."""
    return why_option(who_option(json_option(command)))
