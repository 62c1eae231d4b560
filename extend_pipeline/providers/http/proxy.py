"""Choose the proxy of a connection and open the tunnel (CONNECT) through it.

For https the proxy gets the host's name, because the host's certificate proves where the tunnel ends. For http it gets
the address that was checked here, because there is no certificate.
"""

import os
import re
import socket
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from extend_pipeline.providers.http.guard import AddressFault, normal_host
from extend_pipeline.providers.http.results import Setting, SettingRefused

ENVIRONMENT: Final = "environment"
NONE: Final = "none"

_HEAD_CAP: Final = 16_384  # bytes of the response to CONNECT
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_LOGIN_STATUSES: Final = frozenset({401, 407})  # tinyproxy returns 401 for a wrong password
_TEMPORARY: Final = frozenset({408, 429})  # and every 5xx: the proxy is busy, or could not reach the host


class ProxyRefused(SettingRefused):
    """The proxy refuses the tunnel, or the setting that names the proxy is invalid."""

    setting = Setting.PROXY


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. `login` is `user:password` or None; `named_by` is the setting or the variable that names the
    proxy."""

    host: str
    port: int
    named_by: str
    login: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def choose_proxy(setting: str, login_env: str | None, *, scheme: str, host: str, port: int) -> Proxy | None:
    """Return the proxy for a host; None for a direct connection. Reads the environment at each call. Raises
    ProxyRefused if the setting or the variable names no usable proxy."""
    if setting == NONE:
        return None
    if setting != ENVIRONMENT:
        return _parse_proxy(setting, "proxy in accounts.yaml", None if login_env is None else _login(login_env))
    proxies = getproxies_environment()
    if proxy_bypass_environment(f"{host}:{port}", proxies):
        return None
    kind = scheme if scheme in proxies else "all"
    return _parse_proxy(proxies[kind], f"{kind.upper()}_PROXY", None) if proxies.get(kind) else None


def proxy_variable(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the environment variable that names a proxy for https, or None."""
    names = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
    return next((name for name in names if environment.get(name)), None)


def open_tunnel(sock: socket.socket, proxy: Proxy, authority: str, allowance: Callable[[], float]) -> None:
    """Open a tunnel to `authority` through the proxy that a socket is connected to. `allowance` returns the seconds for
    the next wait. No byte of the request is sent. Raises ProxyRefused, OSError, TimeoutError."""
    login = ""
    if proxy.login is not None:
        login = f"Proxy-Authorization: Basic {b64encode(proxy.login.encode('utf-8')).decode('ascii')}\r\n"
    sock.settimeout(allowance())
    sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{login}\r\n".encode("ascii"))
    head = b""
    while b"\r\n\r\n" not in head:
        sock.settimeout(allowance())
        more = sock.recv(4096)
        if not more or len(head) > _HEAD_CAP:
            raise OSError(f"the proxy {proxy} gave no complete response to CONNECT {authority}")
        head += more
    status = _STATUS.match(head)
    # a refusal may have a body; bytes after a success would be read as the host's own
    if status is None or (status[1].startswith(b"2") and not head.endswith(b"\r\n\r\n")):
        raise ProxyRefused(f"the server at {proxy} ({proxy.named_by}) is no HTTP proxy")
    _classify_reply(int(status[1]), proxy, authority)


def _classify_reply(status: int, proxy: Proxy, authority: str) -> None:
    if 200 <= status < 300:
        return
    if status in _LOGIN_STATUSES:
        known = "refuses its log-in" if proxy.login else "requires a log-in"
        todo = "put user:password into a variable and name it as proxy_login_env"
        raise ProxyRefused(f"the proxy {proxy} ({proxy.named_by}) {known} (HTTP {status}): {todo}")
    if status in _TEMPORARY or status >= 500:
        raise OSError(f"the proxy {proxy} could not reach {authority} (HTTP {status})")
    raise ProxyRefused(
        f"the proxy {proxy} ({proxy.named_by}) lets nothing through to {authority} (HTTP {status}): ask the "
        "proxy's operator, or set proxy: none"
    )


def _parse_proxy(url: str, named_by: str, login: str | None) -> Proxy:
    refused = ProxyRefused(f"{named_by} names no http:// proxy that can be used; write it like http://host:3128")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise refused from None
    host = normal_host(parts.hostname or "")
    # with an unescaped / in the password, the user would be read as the host
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment
    if parts.scheme != "http" or isinstance(host, AddressFault) or port == 0 or has_more:
        raise refused
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(host, port or 80, named_by, login)


def _login(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if ":" not in value or not value.isprintable():
        raise ProxyRefused(f"the variable {name}, which proxy_login_env names, doesn't hold user:password here")
    return value
