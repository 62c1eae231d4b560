"""Validation of durations in a run's configuration. An invalid one ends the run before it begins its work."""

import math

import dagster as dg


def usable_seconds(name: str, seconds: float, *, zero: bool = False) -> float:
    """Return the seconds of a field. Raises Failure if they are not a finite number above 0 (or, with `zero`, of at
    least 0)."""
    if math.isfinite(seconds) and (seconds > 0 or (zero and seconds == 0)):
        return seconds
    least = "of at least 0" if zero else "above 0"
    message = f"{name}: {seconds:g} is not a number of seconds {least}; write one, such as {name}: 600, or leave it out"
    raise dg.Failure(message, allow_retries=False)
