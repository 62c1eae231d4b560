"""Which addresses are public, and which URLs are accepted."""

from __future__ import annotations

import ipaddress

import pytest

from extend_pipeline.base.net import is_loopback, is_loopback_host, is_public
from extend_pipeline.providers.http.guard import AddressFault, AddressPolicy, UrlParts, is_allowed, parse_url


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"])
def test_addresses_of_the_open_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert not is_allowed(ipaddress.ip_address(address), AddressPolicy.LOOPBACK)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
        "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.88.99.1",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
        "64:ff9b::a00:1", "64:ff9b:1::1", "fe80::1", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "2001::1",
        "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "100::1",
    ],
)  # fmt: skip
def test_all_other_addresses_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert not is_allowed(ipaddress.ip_address(address), AddressPolicy.PUBLIC)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("::ffff:127.0.0.1", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_127_and_one(address: str, local: bool) -> None:
    assert is_loopback(ipaddress.ip_address(address)) is local
    assert is_allowed(ipaddress.ip_address(address), AddressPolicy.PUBLIC_OR_LOOPBACK) is local


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "172.16.0.1", "192.168.1.9", "100.64.0.1", "fd12:3456::1", "127.0.0.1", "::1"]
)
def test_addresses_of_private_networks_are_private(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address), AddressPolicy.PRIVATE)
    assert is_allowed(ipaddress.ip_address(address), AddressPolicy.PUBLIC_OR_PRIVATE)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.0.23", "fe80::a9fe:a9fe", "100.100.100.200", "168.63.129.16", "fd00:ec2::254",
        "fd00:ec2::23", "fd20:ce::254", "192.0.0.192", "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "::",
        "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "198.18.0.1",
    ],
)  # fmt: skip
def test_link_local_and_metadata_addresses_are_never_reached(address: str) -> None:
    assert not any(is_allowed(ipaddress.ip_address(address), reach) for reach in AddressPolicy)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://CDN.KlingAI.com/a.mp4?x=1&y=%2F#frag",
            UrlParts("https", "cdn.klingai.com", 443, "/a.mp4?x=1&y=%2F"),
        ),
        ("https://cdn.klingai.com", UrlParts("https", "cdn.klingai.com", 443, "/")),
        ("https://cdn.klingai.com.:8443/a", UrlParts("https", "cdn.klingai.com", 8443, "/a")),
        ("http://[::1]:80/a", UrlParts("http", "::1", 80, "/a")),
        ("HTTP://127.0.0.1:8080/a", UrlParts("http", "127.0.0.1", 8080, "/a")),
        ("https://a.b/视频.mp4", UrlParts("https", "a.b", 443, "/%E8%A7%86%E9%A2%91.mp4")),
        ("https://a.b/x?sig=a+b%3D==", UrlParts("https", "a.b", 443, "/x?sig=a+b%3D==")),
    ],
)
def test_a_url_is_taken_apart(url: str, expected: UrlParts) -> None:
    assert parse_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "cdn.klingai.com/a", "//cdn.klingai.com/a", "ftp://a.b/c", "file:///etc/passwd", "javascript:alert(1)",
        "data:video/mp4;base64,AAAA", "https://user@a.b/", "https://a.b@evil.example/", "https://u:p@a.b/",
        "https://a.b\\@evil.example/", "https://a.b/ c", "https://a.b/\r\nX: y", "https://a.b\t.c/", "https:///a",
        "https://a..b/", "https://.a.b/", "https://a.b../", "https://-a.b/", "https://a%2eb/", "https://ａ.b/",
        "https://bücher.example/", "https://127。0。0。1/", "https://2130706433/", "https://[::1].example.com/", "https://[::1]x/",
        "https://0x7f000001/", "https://0x7f.1/",
        "https://0177.0.0.1/", "https://017700000001/", "https://127.1/", "https://1.2.3.4.5/", "https://256.1.1.1/",
        "https://[::1%25eth0]/", "https://[::1/", "https://[zz::]/", "https://a.b:0/", "https://a.b:99999/",
        "https://a.b:x/", "https://" + "a" * 70 + ".b/", "https://a.b/" + "x" * 9000,
    ],
)  # fmt: skip
def test_an_ambiguous_url_is_refused(url: str) -> None:
    assert isinstance(parse_url(url), AddressFault)


def test_a_refusal_does_not_repeat_the_signature() -> None:
    refused = parse_url("ftp://a.b/c?Signature=s3cr3tsignature")
    assert isinstance(refused, AddressFault)
    assert "s3cr3t" not in refused.message


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost.evil.example", False),
     ("::ffff:7f00:1", False), ("10.0.0.1", False), ("a.b", False)],
)  # fmt: skip
def test_loopback_hosts_are_recognized_by_their_spelling(host: str, local: bool) -> None:
    assert is_loopback_host(host) is local


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        (UrlParts("https", "a.b", 443, "/"), "a.b"),
        (UrlParts("https", "a.b", 80, "/"), "a.b:80"),
        (UrlParts("http", "::1", 8080, "/"), "[::1]:8080"),
    ],
)
def test_the_host_header_names_the_port_only_where_it_matters(target: UrlParts, authority: str) -> None:
    assert target.authority == authority
