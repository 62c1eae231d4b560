"""The trusted certificates, and the message about one that is refused."""

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
_UNKNOWN_ISSUER: Final = frozenset({2, 18, 19, 20, 21})  # OpenSSL's X509_V_ERR_* of a chain without a trusted root
_DATES: Final = frozenset({9, 10})
_OTHER_NAME: Final = frozenset({62, 63, 64})


class CertificateRefused(SettingRefused):
    """The server's certificate is not trusted, or the file of trusted certificates can't be read."""

    setting = Setting.CERTIFICATE


def wrap_tls(sock: socket.socket, trust: str, name: str) -> ssl.SSLSocket:
    """Return a connected socket under TLS, with the certificate checked against `name`. Raises CertificateRefused, and
    OSError if TLS fails otherwise; then the socket is closed."""
    wrapped: ssl.SSLSocket | None = None
    try:
        wrapped = context_for(trust).wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
        wrapped.do_handshake()
    except BaseException as error:
        issuer = _issuer(wrapped) if isinstance(error, ssl.SSLCertVerificationError) else ""
        (wrapped or sock).close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise CertificateRefused(_describe(error, name, issuer, trust)) from error
        raise
    return wrapped


def check_trust(trust: str) -> str | None:
    """Return why the setting can't be used on this machine, or None."""
    try:
        context_for(trust)
    except CertificateRefused as error:
        return str(error)
    return None


def context_for(trust: str) -> ssl.SSLContext:
    """Return the TLS context for a `ca` setting. Raises CertificateRefused if its file can't be read."""
    if trust in (PUBLIC, SYSTEM):
        return load_context(trust, None)
    try:
        status = Path(trust).stat()
    except OSError as error:
        raise CertificateRefused(
            f"the file of certificates that `ca` names, {trust}, can't be read: {error.strerror}"
        ) from error
    return load_context(
        trust, (status.st_mtime_ns, status.st_size)
    )  # the version, so that a replaced file is read again


@cache
def load_context(trust: str, _version: tuple[int, int] | None) -> ssl.SSLContext:
    """Return a new TLS context for a `ca` setting; it is cached for this version of the file: mtime in ns, bytes."""
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
    """Return the issuer of the server's certificate; empty if this Python can't read it after a failed handshake."""
    try:
        chain: Any = sock._sslobj.get_unverified_chain()  # type: ignore[union-attr]  # public only since Python 3.13
        names = {key: value for part in chain[0].get_info()["issuer"] for key, value in part}
    except Exception:  # noqa: BLE001 - the refusal is reported without it
        return ""
    issuer = (names.get("commonName"), names.get("organizationName"))
    return ", ".join(dict.fromkeys(name for name in issuer if name))


def _describe(error: ssl.SSLCertVerificationError, host: str, issuer: str, trust: str) -> str:
    code = error.verify_code
    by = f"its issuer is {issuer}" if issuer else "its issuer is unknown"
    refusal = f"{host} shows a certificate that is refused ({error.verify_message or 'not trusted'}); {by}"
    if code in _OTHER_NAME:
        return f"{refusal}. It is for another host: check the address, and which server it leads to"
    if code in _DATES:
        return (
            f"{refusal}. Check this machine's clock; if it is right, the server's operator has to renew the certificate"
        )
    if code not in _UNKNOWN_ISSUER:
        return f"{refusal} (`ca` is {trust})"
    if trust == SYSTEM:
        return f"{refusal}. This machine's store doesn't hold it (`ca: system`): add it there, or write `ca: FILE`"
    return (
        f"{refusal}. If that is your company's CA, write `ca: system` (this machine's store) or `ca: FILE` (PEM) in "
        f"accounts.yaml; now it is {trust}"
    )
