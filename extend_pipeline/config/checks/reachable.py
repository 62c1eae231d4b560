"""Which addresses of a catalogue entry a provider can reach: known without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from extend_pipeline.base.net import is_local
from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.model.account import Account


def local_addresses(account: Account | None, *given: tuple[tuple[str, str], str | None]) -> Iterator[FieldIssue]:
    """Complains of addresses of this machine or of private networks, unless the account is a local one. `given` are
    places with what stands there; only http and https addresses are looked at."""
    if account is None or account.allow_local:
        return
    for loc, address in given:
        if address is not None and address.lower().startswith(("http:", "https:")):
            host = urlsplit(address).hostname or ""
            if is_local(host):
                yield FieldIssue(
                    loc,
                    "is an address of this machine or of a private network, which the provider can't reach",
                    "Give an address on the internet.",
                )
