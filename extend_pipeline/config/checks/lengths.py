"""Checks targets against the lengths that are known before anything is made, and against the account's limits."""

from collections.abc import Iterator
from dataclasses import dataclass

from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.provider import ProviderConfig
from extend_pipeline.config.model.target import Target


@dataclass(frozen=True)
class Length:
    """The shortest and the longest that a video may be, in ms; equal for a source."""

    min_ms: int
    max_ms: int


def after_hops(start: Length, hops: int, extend: Target | None, provider: ProviderConfig) -> Length:
    """Return the length after some hops by `extend`; None for the bounds over all extends."""
    min_added_ms, max_added_ms = provider.added_ms(extend)
    return Length(start.min_ms + hops * min_added_ms, start.max_ms + hops * max_added_ms)


def length_issues(start: Length, extend: Target, provider: ProviderConfig) -> Iterator[FieldIssue]:
    """Yield an issue for a target that is not longer than the source, and for steps that may exceed the provider's
    limit."""
    limit = provider.longest_ms
    if extend.to_ms is not None and extend.to_ms <= start.min_ms:
        yield FieldIssue(
            ("extend", "to"),
            f"is not longer than the source, which lasts {seconds(start.min_ms)} s",
            "Give a longer target.",
        )
    if extend.steps is not None and limit is not None:
        end_ms = after_hops(start, extend.steps, extend, provider).max_ms
        if end_ms > limit:
            fitting = (limit - start.max_ms) // provider.added_ms(extend)[1]
            yield FieldIssue(
                ("extend", "steps"),
                f"steps may end at {seconds(end_ms)} s, and {provider.name} makes nothing over {seconds(limit)} s",
                f"Give {fitting} at most." if fitting > 0 else "This source is too long to be extended.",
            )


def account_limit_issues(extend: Target, account: Account) -> Iterator[FieldIssue]:
    """Yield an issue for a target that contradicts its account's `extend`."""
    defaults = account.extend
    if extend.to_ms is None:
        return
    at_most, tolerance = defaults.at_most_ms, defaults.tolerance_ms
    if extend.at_most_ms is None and at_most is not None and extend.to_ms > at_most:
        yield FieldIssue(
            ("extend", "to"),
            f"is more than account {account.name} allows (extend.at_most: {seconds(at_most)})",
            f"Give {seconds(at_most)} at most, or write at_most: beside it.",
        )
    if extend.tolerance_ms is None and extend.to_ms <= tolerance:
        yield FieldIssue(
            ("extend", "to"),
            f"is within the tolerance of {seconds(tolerance)} s, so that nothing would be made",
            "Give a longer target, or write tolerance: 0.1 beside it.",
        )


def seconds(ms: int) -> str:
    """Return milliseconds as seconds, without trailing zeros."""
    return f"{ms / 1000:g}"
