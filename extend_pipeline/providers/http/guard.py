"""Where a connection may go: reading URLs strictly, resolving names within a time, and telling public from local
addresses.

Nothing here speaks HTTP. Everything that opens a connection asks here first, and connects to the address that was
checked, so that a name can't resolve to one thing for the check and to another for the connection.
"""

from __future__ import annotations

import ipaddress
import queue
import re
import socket
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import quote, urlsplit

from extend_pipeline.config.fields.addresses import METADATA_NETWORKS, IPAddress, is_in, is_local, is_private

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BRACKETS: Final = re.compile(r"\[[^\[\]]*\](:[0-9]*)?|[^\[\]]*")  # Python before 3.13 reads `[::1].example` as `::1`
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f\\]")
# What a target may hold as it stands: RFC 3986 reserved and unreserved characters, and "%" so that nothing is quoted
# twice.
_TARGET_SAFE: Final = "%:/?#[]@!$&'()*+,;=-._~"

# Not for the public, whatever this Python's tables say: `is_global` changed between patch releases of 3.11 to 3.13, and
# the IPv6 forms below carry an IPv4 address that a relay or translator may turn into a private one.
_NEVER_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::/96",
        "::ffff:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2002::/16",
        "fec0::/10",
    )
)


class AddressPolicy(Enum):
    """Which addresses a connection may go to. This machine's own count as private."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PUBLIC_OR_LOOPBACK = "public or loopback"
    PRIVATE = "private"
    PUBLIC_OR_PRIVATE = "public or private"


@dataclass(frozen=True, slots=True)
class UrlParts:
    """A URL taken apart: `host` is lower-case ASCII without brackets or trailing dot, `target` is path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AddressFault:
    """A URL or an address that is not gone to, and why, without the URL's query (which may be a signature)."""

    message: str


class AddressRefused(Exception):
    """The name leads to an address that the connection's Reach leaves out. Nothing was sent."""


def parse_url(url: str) -> UrlParts | AddressFault:
    """Take an absolute http(s) URL apart; whatever two parsers might read differently is refused."""
    if not url or len(url) > 8192:
        return AddressFault("the URL is empty or longer than 8192 characters")
    if _UNSAFE.search(url):
        return AddressFault("the URL has white space, control characters or a backslash in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose words repeat what can't be read, and that may be a password
        return AddressFault("the URL can't be read: its host or its port makes no sense")
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
    """A host name or a strictly written address, lower-case and without a trailing dot; everything else is refused.

    `127.1`, `0x7f.1`, `017700000001`, `2130706433` are addresses to a C library and names to a careless check: refused.
    """
    host = host.lower().removesuffix(".")
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host)) if "%" not in host else AddressFault("the address has a zone")
        except ValueError:
            return AddressFault(f"{host[:80]!r} is no IPv6 address")
    labels = host.split(".")
    if not host.isascii() or len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return AddressFault(f"{host[:80]!r} is no host name (names in other scripts are written in punycode)")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            return AddressFault(f"{host[:80]!r} is a number that some systems read as an address")
    return host


def literal(host: str) -> IPAddress | None:
    """The address that a host is written as, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback_host(host: str) -> bool:
    """Whether a host means this machine by how it is written: localhost, 127.0.0.0/8, ::1."""
    address = literal(host)
    return host == "localhost" if address is None else is_loopback(address)


def is_loopback(address: IPAddress) -> bool:
    """127.0.0.0/8 or ::1. An IPv4 address dressed as IPv6 counts as neither loopback nor public."""
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_public(address: IPAddress) -> bool:
    """Whether an address is one of the open internet's, for unicast."""
    if is_in(address, _NEVER_PUBLIC) or is_in(address, METADATA_NETWORKS):
        return False
    local = address.is_private or address.is_loopback or address.is_link_local
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not local and not special


def is_allowed(address: IPAddress, reach: AddressPolicy) -> bool:
    """Whether a connection of this Reach may go to the address."""
    match reach:
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
    """Every address of a host, in the system's order, looked up once.

    The look-up runs on a thread of its own because the C library's can't be given a deadline; when it is late the
    thread is left to end by itself. Raises TimeoutError after `timeout_s` seconds, OSError where the name can't be
    found.
    """
    address = literal(host)
    if address is not None:
        return (address,)
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([str(entry[4][0]) for entry in found])
        except UnicodeError as error:
            answers.put(OSError(str(error)))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
    try:
        answer = answers.get(timeout=max(timeout_s, 0.001))
    except queue.Empty:
        raise TimeoutError(f"looking up the name {host} took longer than {timeout_s:.1f} s") from None
    if isinstance(answer, OSError):
        raise OSError(f"the name {host} can't be found: {answer.strerror or answer}") from answer
    return tuple(dict.fromkeys(ipaddress.ip_address(text.partition("%")[0]) for text in answer))


def checked_addresses(host: str, port: int, *, reach: AddressPolicy, timeout_s: float) -> tuple[IPAddress, ...]:
    """The addresses to connect to. Raises AddressRefused as soon as one of them is out of reach: a name that leads to
    both a public and a private address is not trusted at all. Otherwise raises as `resolve` does."""
    addresses = resolve_host(host, port, timeout_s)
    for address in addresses:
        if not is_allowed(address, reach):
            raise AddressRefused(f"{host} leads to {address}, which is no {reach.value} address; nothing was sent")
    if not addresses:
        raise OSError(f"the name {host} has no address")
    return addresses


def checked_before_proxy(host: str, port: int, *, timeout_s: float) -> tuple[IPAddress, ...]:
    """The addresses of a host that is about to be named to a proxy, as far as this machine's resolver knows them; none
    where it doesn't. Raises AddressRefused for a name of a private network, and as `checked_addresses` does: a proxy
    inside a network must not be led to what is in it."""
    if is_local(host) and literal(host) is None:
        raise AddressRefused(f"{host} is a name of this machine or of a private network; no proxy was asked for it")
    try:
        return checked_addresses(host, port, reach=AddressPolicy.PUBLIC, timeout_s=timeout_s)
    except OSError:
        return ()
