"""Whose certificates count, and what a person is told where one is refused."""

from __future__ import annotations

import socket
import ssl
from functools import cache
from pathlib import Path
from typing import Any, Final

import certifi

from extend_pipeline.providers.http.results import Setting, SettingRefused

PUBLIC: Final = "public"
SYSTEM: Final = "system"

_ALPN: Final = ["http/1.1"]
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})  # OpenSSL's X509_V_ERR_* of a chain that ends nowhere known
_DATES: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 63, 64})


class CertificateRefused(SettingRefused):
    """The other side's certificate doesn't count here, or the file of those that do can't be read."""

    setting = Setting.CERTIFICATE


def secured(sock: socket.socket, trust: str, name: str) -> ssl.SSLSocket:
    """Shake hands over a connected socket and check the certificate against `name`. Raises CertificateRefused, and
    OSError where TLS fails otherwise; then the socket is closed."""
    wrapped: ssl.SSLSocket | None = None
    try:
        wrapped = _context(trust).wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        wrapped.do_handshake()
    except BaseException as error:
        issuer = _issuer(wrapped) if isinstance(error, ssl.SSLCertVerificationError) else ""
        (wrapped or sock).close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise CertificateRefused(_describe(error, name, issuer, trust)) from error
        raise
    return wrapped


def check_trust(trust: str) -> str | None:
    """Return what is wrong with the setting on this machine; None where it can be used."""
    try:
        _context(trust)
    except CertificateRefused as error:
        return str(error)
    return None


def _context(trust: str) -> ssl.SSLContext:
    if trust in (PUBLIC, SYSTEM):
        return _built(trust, None)
    try:
        status = Path(trust).stat()
    except OSError as error:
        raise CertificateRefused(
            f"the file of certificates that `ca` names, {trust}, can't be read: {error.strerror}"
        ) from error
    return _built(trust, (status.st_mtime_ns, status.st_size))  # a file that was replaced is read again


@cache
def _built(trust: str, _version: tuple[int, int] | None) -> ssl.SSLContext:
    if trust == SYSTEM:
        import truststore

        system: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        system.set_alpn_protocols(_ALPN)
        return system
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if trust != PUBLIC:
        try:
            context.load_verify_locations(cafile=trust)
        except (OSError, ValueError) as error:
            raise CertificateRefused(
                f"the file that `ca` names, {trust}, holds no certificates that can be read (PEM is needed)"
            ) from error
    context.set_alpn_protocols(_ALPN)
    return context


def _issuer(sock: ssl.SSLSocket | None) -> str:
    """Return who signed the certificate that was shown; empty where this Python doesn't tell after a failed
    handshake."""
    try:
        chain: Any = sock._sslobj.get_unverified_chain()  # type: ignore[union-attr]  # public since Python 3.13 alone
        names = {key: value for part in chain[0].get_info()["issuer"] for key, value in part}
    except Exception:  # noqa: BLE001 - the refusal is told in any case
        return ""
    shown = (names.get("commonName"), names.get("organizationName"))
    return ", ".join(dict.fromkeys(value for value in shown if value))


def _describe(error: ssl.SSLCertVerificationError, host: str, issuer: str, trust: str) -> str:
    code = error.verify_code
    by = f"its issuer is {issuer}" if issuer else "its issuer can't be told"
    said = f"{host} shows a certificate that is refused ({error.verify_message or 'not trusted'}); {by}"
    if code in _OTHER_NAME:
        return f"{said}. It is for another host: look at the address, or at who answers in its place"
    if code in _DATES:
        return f"{said}. Look at this machine's clock; else its owner has to renew it"
    if code not in _UNKNOWN_ISSUER:
        return f"{said} (`ca` is {trust})"
    if trust == SYSTEM:
        return f"{said}. This machine's store doesn't hold it (`ca: system`): add it there, or write `ca: FILE`"
    return (
        f"{said}. If that is your company's CA, write `ca: system` (this machine's store) or `ca: FILE` (PEM) in "
        f"accounts.yaml; now it is {trust}"
    )
