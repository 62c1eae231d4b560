"""Classification of host names and IP addresses: public, private, this machine's. Pure: nothing is resolved and no
connection is opened."""

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


# ranges of private networks; the last two are this machine
_PRIVATE: Final = _networks(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "127.0.0.0/8", "::1/128"
)
# metadata services of clouds, which give a machine its keys; the link-local ones are in no list above
_METADATA: Final = _networks("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::/64")
# Never public, independent of this Python's tables, because `is_global` changed between patch releases of 3.11 to 3.13.
# The IPv6 ranges embed an IPv4 address that a relay or translator may map to a private one.
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
    """Return the IP address that a host is, in brackets or without; None for a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_host_name(host: str) -> bool:
    """Return whether a lower-case host consists of labels separated by dots; labels may be numbers."""
    return _HOST_NAME.fullmatch(host) is not None


def ends_in_number(host: str) -> bool:
    """Return whether the last label is a number, because a C library reads `127.1`, `0x7f.1`, `017700000001` and
    `2130706433` as addresses."""
    return _NUMBER.fullmatch(host.rsplit(".", 1)[-1]) is not None


def is_local(host: str) -> bool:
    """Return whether a host is this machine, an address that isn't global, or a name that only resolves locally."""
    host = host.lower().rstrip(".")
    address = parse_address(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.endswith(_LOCAL_ENDINGS)


def is_loopback_host(host: str) -> bool:
    """Return whether a host is localhost, in 127.0.0.0/8, or ::1."""
    address = parse_address(host)
    return host == "localhost" if address is None else is_loopback(address)


def is_loopback(address: IPAddress) -> bool:
    """Return whether an address is in 127.0.0.0/8 or is ::1. An IPv4 address written as IPv6 counts as neither loopback
    nor public."""
    return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


def is_private(address: IPAddress) -> bool:
    """Return whether an address is in a private network or is this machine's, and no metadata service of a cloud."""
    return _is_in(address, _PRIVATE) and not _is_in(address, _METADATA)


def is_reachable(address: IPAddress) -> bool:
    """Return whether an address is public or private, and isn't a metadata service of a cloud."""
    return is_private(address) or (address.is_global and not _is_in(address, _METADATA))


def is_public(address: IPAddress) -> bool:
    """Return whether an address is a public unicast address."""
    if _is_in(address, _NEVER_PUBLIC) or _is_in(address, _METADATA):
        return False
    local = address.is_private or address.is_loopback or address.is_link_local
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not local and not special


def _is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
