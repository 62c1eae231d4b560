"""Decide where a connection may go: parse URLs strictly, resolve names within a time limit, check the addresses.

Code that opens a connection calls this module first and connects to the checked address, so that a name can't resolve
to one address for the check and to another for the connection.
"""

import ipaddress
import queue
import re
import socket
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote, urlsplit

from extend_pipeline.base.net import (
    IPAddress,
    ends_in_number,
    is_host_name,
    is_local,
    is_loopback,
    is_private,
    is_public,
    parse_address,
)

_BRACKETS: Final = re.compile(r"\[[^\[\]]*\](:[0-9]*)?|[^\[\]]*")  # Python before 3.13 reads `[::1].example` as `::1`
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
# Not quoted in a target: RFC 3986 reserved and unreserved characters, and "%", which quotes already.
_TARGET_SAFE: Final = "%:/?#[]@!$&'()*+,;=-._~"


class AddressPolicy(Enum):
    """The addresses that a connection may go to. This machine's own count as private."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PUBLIC_OR_LOOPBACK = "public or loopback"
    PRIVATE = "private"
    PUBLIC_OR_PRIVATE = "public or private"


@dataclass(frozen=True, slots=True)
class UrlParts:
    """The parts of a URL: `host` is lower-case ASCII without brackets or trailing dot, `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AddressFault:
    """Why a URL or an address is not connected to, without the URL's query, which may be a signature."""

    message: str


class AddressRefused(Exception):
    """A name that resolves to an address outside the connection's policy. Nothing was sent."""


def parse_url(url: str) -> UrlParts | AddressFault:
    """Parse an absolute http(s) URL; refuse one that two parsers might read differently."""
    if not url or len(url) > 8192:
        return AddressFault("the URL is empty or longer than 8192 characters")
    if _UNSAFE.search(url):
        return AddressFault("the URL has white space, control characters or a backslash in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its message quotes the text, which may be a password
        return AddressFault("the URL can't be read: its host or its port is invalid")
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http"):
        return AddressFault(f"the URL's scheme is {scheme[:20] or 'missing'!r}; only https is fetched")
    if "@" in parts.netloc:
        return AddressFault("the URL has a user name in it")
    if not _BRACKETS.fullmatch(parts.netloc):
        return AddressFault("the URL's host is neither a name nor an address")
    host = normal_host(parts.hostname or "")
    if isinstance(host, AddressFault):
        return host
    if port == 0:
        return AddressFault("the URL's port is 0")
    path = quote(parts.path or "/", safe=_TARGET_SAFE, errors="replace")
    query = quote(parts.query, safe=_TARGET_SAFE, errors="replace")
    if port is None:
        port = 443 if scheme == "https" else 80
    return UrlParts(scheme, host, port, f"{path}?{query}" if query else path)


def normal_host(host: str) -> str | AddressFault:
    """Return a host name or a strictly written address, lower-case and without a trailing dot; refuse everything
    else."""
    host = host.lower().removesuffix(".")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host)) if "%" not in host else AddressFault("the address has a zone")
        except ValueError:
            return AddressFault(f"{host[:80]!r} is no IPv6 address")
    if len(host) > 253 or not is_host_name(host):
        return AddressFault(f"{host[:80]!r} is no host name (names in other scripts are written in punycode)")
    if ends_in_number(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            return AddressFault(f"{host[:80]!r} is a number that some systems read as an address")
    return host


def is_allowed(address: IPAddress, policy: AddressPolicy) -> bool:
    """Return whether a policy allows an address."""
    match policy:
        case AddressPolicy.PUBLIC:
            return is_public(address)
        case AddressPolicy.LOOPBACK:
            return is_loopback(address)
        case AddressPolicy.PUBLIC_OR_LOOPBACK:
            return is_public(address) or is_loopback(address)
        case AddressPolicy.PRIVATE:
            return is_private(address)
        case AddressPolicy.PUBLIC_OR_PRIVATE:
            return is_public(address) or is_private(address)


def resolve_host(host: str, port: int, timeout_s: float) -> tuple[IPAddress, ...]:
    """Return every address of a host, in the system's order, from one look-up.

    The look-up runs on its own thread, because the C library takes no deadline; a late thread is left to end. Raises
    TimeoutError after `timeout_s` seconds, and OSError for a name that can't be found.
    """
    address = parse_address(host)
    if address is not None:
        return (address,)
    results: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            results.put([str(entry[4][0]) for entry in entries])
        except UnicodeError as error:
            results.put(OSError(str(error)))
        except OSError as error:
            results.put(error)

    threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
    try:
        result = results.get(timeout=max(timeout_s, 0.001))
    except queue.Empty:
        raise TimeoutError(f"looking up the name {host} took longer than {timeout_s:.1f} s") from None
    if isinstance(result, OSError):
        raise OSError(f"the name {host} can't be found: {result.strerror or result}") from result
    return tuple(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in result))


def checked_addresses(host: str, port: int, *, allowed: AddressPolicy, timeout_s: float) -> tuple[IPAddress, ...]:
    """Return the addresses to connect to. Raises AddressRefused if any of them is not allowed, because a name with both
    a public and a private address is not trusted, and the errors of `resolve_host`."""
    addresses = resolve_host(host, port, timeout_s)
    for address in addresses:
        if not is_allowed(address, allowed):
            raise AddressRefused(f"{host} leads to {address}, which is no {allowed.value} address; nothing was sent")
    if not addresses:
        raise OSError(f"the name {host} has no address")
    return addresses


def checked_addresses_before_proxy(host: str, port: int, *, timeout_s: float) -> tuple[IPAddress, ...]:
    """Return the addresses of a host that a proxy will connect to; empty if this machine can't resolve the name. Raises
    AddressRefused for a name or an address of a private network, because a proxy inside that network could reach it."""
    if is_local(host) and parse_address(host) is None:
        raise AddressRefused(
            f"{host} is a name of this machine or of a private network; the proxy was not asked for it"
        )
    try:
        return checked_addresses(host, port, allowed=AddressPolicy.PUBLIC, timeout_s=timeout_s)
    except OSError:
        return ()
