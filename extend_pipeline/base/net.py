"""Host names and IP addresses, judged by how they are written and numbered: public, private, this machine's. Pure:
resolves and connects to nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME: Final = re.compile(rf"{LABEL}(?:\.{LABEL})*", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_LOCAL_ENDINGS: Final = (".localhost", ".local", ".internal", ".test", ".lan", ".home.arpa")


def _networks(*networks: str) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)


# what networks of one's own are numbered with; the last two are this machine
_PRIVATE: Final = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "127.0.0.0/8", "::1/128"
)
# where clouds tell a machine its own keys; link-local addresses, where most of them are, are in no list above
_METADATA: Final = _networks("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::/64")
# Never public, stated here because `is_global` changed between patch releases of 3.11 to 3.13, and because the IPv6
# forms below carry an IPv4 address that a relay or translator may turn into a private one.
_NEVER_PUBLIC: Final = _networks(
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


def parse_address(host: str) -> IPAddress | None:
    """Return the address that a host is written as, in brackets or without; None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_host_name(host: str) -> bool:
    """Return whether a lower-case host is labels with dots between them; a number may be one too."""
    return _HOST_NAME.fullmatch(host) is not None


def ends_in_number(host: str) -> bool:
    """Return whether the last label is a number. `127.1`, `0x7f.1`, `017700000001` and `2130706433` are addresses to a
    C library and names to a careless check."""
    return _NUMBER.fullmatch(host.rsplit(".", 1)[-1]) is not None


def is_local(host: str) -> bool:
    """Return whether a host is this machine, a private network, or a name that only such a network knows."""
    host = host.lower().rstrip(".")
    address = parse_address(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.endswith(_LOCAL_ENDINGS)


def is_loopback_host(host: str) -> bool:
    """Return whether a host means this machine by how it is written: localhost, 127.0.0.0/8, ::1."""
    address = parse_address(host)
    return host == "localhost" if address is None else is_loopback(address)


def is_loopback(address: IPAddress) -> bool:
    """Return whether an address is in 127.0.0.0/8 or is ::1. An IPv4 address written as IPv6 counts as neither loopback
    nor public."""
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_private(address: IPAddress) -> bool:
    """Return whether an address lies in a network of one's own, or is this machine's; none of a cloud's metadata is."""
    return _is_in(address, _PRIVATE) and not _is_in(address, _METADATA)


def is_reachable(address: IPAddress) -> bool:
    """Return whether an address is public or in a network of one's own, and no cloud's metadata."""
    return is_private(address) or (address.is_global and not _is_in(address, _METADATA))


def is_public(address: IPAddress) -> bool:
    """Return whether an address is one of the open internet's, for unicast."""
    if _is_in(address, _NEVER_PUBLIC) or _is_in(address, _METADATA):
        return False
    local = address.is_private or address.is_loopback or address.is_link_local
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not local and not special


def _is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
