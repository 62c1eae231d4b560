"""Durations in the configuration of a run. One that can't be used is refused when the run is launched, before Dagster
makes a run of it."""

import math
from typing import Final

import dagster as dg

MAX_SECONDS: Final = 7 * 86_400
"""No run is to last longer; `deploy/dagster.yaml` ends one after 8 hours."""


class Seconds(dg.Noneable):
    """Config type of a field that holds seconds, or null.

    Dagster's launchpad knows the kinds of values alone, so that it marks a text while it is typed, but no number. It
    processes each value further when it plans the run, and then shows the error in place of a run.
    """

    def __init__(self, name: str, *, zero: bool = False) -> None:
        super().__init__(float)
        self._name, self._zero = name, zero

    def post_process(self, value: float | None) -> float | None:
        """Return the value. Raises Failure if it is no usable number of seconds."""
        return None if value is None else usable_seconds(self._name, value, zero=self._zero)


def usable_seconds(name: str, seconds: float, *, zero: bool = False) -> float:
    """Return the seconds of a field. Raises Failure if they are not above 0 (or, with `zero`, not at least 0), or more
    than a week."""
    if 0 < seconds <= MAX_SECONDS or (zero and seconds == 0):
        return seconds
    least = "of at least 0" if zero else "above 0"
    most = f", and at most {MAX_SECONDS} (a week)" if math.isfinite(seconds) and seconds > 0 else ""
    what = f"{seconds:g} is not a number of seconds {least}{most}"
    message = f"{name}: {what}; write one, such as {name}: 600, or leave it out"
    raise dg.Failure(message, allow_retries=False)
