"""Fields that are addresses: of an account, of the hosts of results, of a source, of a proxy."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from extend_pipeline.base.net import (
    LABEL,
    IPAddress,
    ends_in_number,
    is_host_name,
    is_local,
    is_loopback,
    is_private,
    is_reachable,
    parse_address,
)
from extend_pipeline.config.fields.text import field_error

_PATTERN: Final = re.compile(rf"\*\.{LABEL}(?:\.{LABEL})+", re.ASCII)


def base_url(value: object, *, allow_local: bool, private: bool = False) -> str:
    """Return an account's base URL without a trailing slash.

    It is https to a public host; with `allow_local` also http(s) to this machine; with `private` also http(s) to a host
    in a private network. http to a public host is refused, because credentials would be sent unencrypted. A host name
    over http is checked again when it is resolved for a connection.
    """
    hint = "Write it like https://api-singapore.klingai.com."
    parts = _split(value, hint)
    if parts.query or parts.fragment:
        raise field_error("holds more than an address", f"Leave out what follows ? or #. {hint}")
    _check_network(parts, allow_local=allow_local, private=private)
    return str(value).rstrip("/")


def receiver_url(value: object, *, allow_local: bool, private: bool) -> str:
    """Return the address of a webhook's receiver, unchanged. It may have a query, and is otherwise bound like
    `base_url`."""
    hint = "Write it like https://alerts.example.com/extend-pipeline."
    if isinstance(value, str) and "@" in value.partition("://")[2].partition("/")[0]:
        raise field_error("holds credentials", "Leave them out; for a receiver with a log-in, name a command.")
    parts = _split(value, hint)
    if parts.fragment:
        raise field_error("holds more than an address", f"Leave out what follows #. {hint}")
    _check_network(
        parts,
        allow_local=allow_local,
        private=private,
        sends="what waits for you",
        local_hint="Write network: private for a receiver of your own; allow_local: true for one on this machine.",
    )
    return str(value)


def _check_network(
    parts: SplitResult,
    *,
    allow_local: bool,
    private: bool,
    sends: str = "the credentials",
    local_hint: str = "Write network: private for a gateway of your own; allow_local: true is for the sandbox alone.",
) -> None:
    """Raise the field's error for an address outside the network that is allowed, or without the encryption that it
    needs there: `sends` is what it would send in the open."""
    local = is_local(parts.hostname or "")
    address = parse_address(parts.hostname or "")
    if private:
        _check_private(parts.scheme, address, sends)
        return
    if local and not allow_local:
        raise field_error("is an address of this machine or of a private network", local_hint)
    if local and address is not None and not is_loopback(address):
        raise field_error(
            "is an address of a private network", "allow_local opens this machine alone: http://127.0.0.1:PORT."
        )
    if parts.scheme == "http" and not local:
        raise field_error(f"would send {sends} unencrypted", "Write https://.")


def proxy_address(value: object) -> str:
    """Return the address of an HTTP proxy, as `http://host:port`. Any host that can be reached is allowed."""
    hint = "Write it like http://proxy.example.com:3128."
    if isinstance(value, str) and "://" in value and not value.lower().startswith("http://"):
        raise field_error("is no http:// proxy", f"{hint} Requests through it are still encrypted.")
    if isinstance(value, str) and "@" in value:
        raise field_error("holds credentials", "Name the variable that holds user:password as proxy_login_env.")
    parts = _split(value, hint)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise field_error("holds more than an address", hint)
    address = parse_address(parts.hostname or "")
    if address is not None and not is_reachable(address):
        raise field_error("is no address that a proxy can be at", hint)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"http://{host}:{parts.port or 80}"


def _check_private(scheme: str, address: IPAddress | None, sends: str) -> None:
    if address is None:
        return
    if not is_reachable(address):
        raise field_error("is no address that an account can be at", "Write the address or name of your gateway.")
    if scheme == "http" and not is_private(address):
        raise field_error(f"would send {sends} unencrypted over the internet", "Write https://.")


def source_url(value: object) -> str:
    """Return the http or https address of a source file, unchanged."""
    return web_address(value, "Write the https address of the source file.")


def web_address(value: object, hint: str) -> str:
    """Return an http or https address, unchanged. `hint` ends the error of anything else."""
    _split(value, hint)
    return str(value)


def public_prefix(value: object, *, allow_local: bool) -> str:
    """Return an http(s) address that paths are appended to, without a trailing slash. It is public unless
    `allow_local` is set."""
    hint = "Write it like https://media.example.com/store."
    parts = _split(value, hint)
    if parts.query or parts.fragment:
        raise field_error("holds more than an address", f"Leave out what follows ? or #. {hint}")
    if is_local(parts.hostname or "") and not allow_local:
        raise field_error(
            "is an address of this machine or of a private network", "The provider must reach it: " + hint
        )
    return str(value).rstrip("/")


def host_pattern(value: object, *, allow_local: bool) -> str:
    """Return a host (`cdn.example.com`) or a domain with everything below it (`*.example.com`), in lower case."""
    hint = "Write a host such as cdn.example.com, or *.example.com for all below it."
    if not isinstance(value, str):
        raise field_error("is not a host", hint)
    host = value.lower()
    if "/" in host or "@" in host:
        raise field_error("is more than a host", hint)
    if host.startswith("*"):
        if not _PATTERN.fullmatch(host):
            raise field_error("is too wide or no domain", hint)
        return host
    if is_local(host) and not allow_local:
        raise field_error(
            "is an address of this machine or of a private network", "Set allow_local: true for the sandbox only."
        )
    if parse_address(host) is None and not is_host_name(host):
        raise field_error("is not a host", hint)
    return host


def _split(value: object, hint: str) -> SplitResult:
    if not isinstance(value, str):
        raise field_error("is not an address", hint)
    if any(c.isspace() or not c.isprintable() for c in value) or "\\" in value or not value.isascii():
        raise field_error("holds characters that no address has", hint)
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise field_error("is not an address", hint) from error
    if parts.scheme not in ("http", "https"):
        raise field_error("is no http or https address", hint)
    if parts.username is not None or parts.password is not None:
        raise field_error(
            "holds credentials", "Name their environment variables under credentials; keep them out of addresses."
        )
    if not host or port == 0 or (parse_address(host) is None and not is_host_name(host)):
        raise field_error("names no host that can be reached", hint)
    if parse_address(host) is None and ends_in_number(host):
        raise field_error("is an unusual spelling of a network address", "Write the four numbers, such as 127.0.0.1.")
    return parts
