"""Types of options that several verbs share."""

from __future__ import annotations

import math
from typing import Any, Final

import click

CENTURY_S: Final = 100 * 365 * 86_400.0


class Seconds(click.FloatRange):
    """Seconds, from zero to a hundred years: never a NaN, which no comparison stops, and never an infinity."""

    name = "seconds"

    def __init__(self, *, above_zero: bool = False, negative: bool = False) -> None:
        super().__init__(min=-CENTURY_S if negative else 0.0, max=CENTURY_S, min_open=above_zero)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; raise click.BadParameter where it is none, or out of bounds."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number
