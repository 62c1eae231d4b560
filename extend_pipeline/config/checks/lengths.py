"""How long a source is, as far as that is known before anything is made, and which targets can't be reached from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.provider import ProviderConfig
from extend_pipeline.config.model.target import Target


@dataclass(frozen=True)
class Length:
    """The least and the most that a video lasts, in milliseconds; the same for a source."""

    least_ms: int
    most_ms: int


def after_hops(start: Length, hops: int, extend: Target | None, provider: ProviderConfig) -> Length:
    """Return how long a video is after some hops by an extend, or by any where that could not be read."""
    least, most = provider.added_ms(extend)
    return Length(start.least_ms + hops * least, start.most_ms + hops * most)


def length_complaints(start: Length, extend: Target, provider: ProviderConfig) -> Iterator[FieldIssue]:
    """Targets that are no longer than the source, and steps that may lead past what the provider makes."""
    limit = provider.longest_ms
    if extend.to_ms is not None and extend.to_ms <= start.least_ms:
        yield FieldIssue(
            ("extend", "to"),
            f"is not longer than the source, which lasts {seconds(start.least_ms)} s",
            "Give a longer target.",
        )
    if extend.steps is not None and limit is not None:
        most = after_hops(start, extend.steps, extend, provider).most_ms
        if most > limit:
            fitting = (limit - start.most_ms) // provider.added_ms(extend)[1]
            yield FieldIssue(
                ("extend", "steps"),
                f"steps may end at {seconds(most)} s, and {provider.name} makes nothing over {seconds(limit)} s",
                f"Give {fitting} at most." if fitting > 0 else "This source is too long to be extended.",
            )


def default_complaints(extend: Target, account: Account) -> Iterator[FieldIssue]:
    """Yield targets that contradict what their account says for all of its videos."""
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
