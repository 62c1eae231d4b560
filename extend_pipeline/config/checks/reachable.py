"""Checks whether a provider can reach the addresses of a catalogue entry, without network access."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from extend_pipeline.base.net import is_local
from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import Account


def local_addresses(account: Account | None, *fields: tuple[tuple[str, str], str | None]) -> Iterator[FieldIssue]:
    """Yield an issue for each http(s) address of this machine or of a private network, unless the account allows local
    ones. `fields` are pairs of a field's path and its value."""
    if account is None or account.allow_local:
        return
    for loc, address in fields:
        if address is not None and address.lower().startswith(("http:", "https:")):
            host = urlsplit(address).hostname or ""
            if is_local(host):
                yield FieldIssue(
                    loc,
                    "is an address of this machine or of a private network, which the provider can't reach",
                    "Give an address on the internet.",
                )
