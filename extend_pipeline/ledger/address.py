"""Reads the ledger's address as people write it, and shows it without anything that belongs to a log-in."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from extend_pipeline.base.userinfo import HIDDEN, userinfo_parts

_POSTGRESQL: Final = ("postgresql", "postgres")  # the second is what hosts of databases hand out
_DRIVER: Final = "postgresql+psycopg"
_WITH_AT: Final = ("user", "password", "application_name", "fallback_application_name", "options", "host", "service")
_HOST: Final = r"(?:\[[^\]@/?]*\]|[^@/?:,\[\]]*)(?::[0-9]*)?"
_PARAMETER: Final = rf"(?:\w+=[^&@]*|(?:{'|'.join(_WITH_AT)})=[^&]*)"
_PLAINLY: Final = re.compile(
    rf"(?:([^@/?]*)@)?({_HOST}(?:,{_HOST})*(?:/[^@?]*)?(?:\?(?:{_PARAMETER}(?:&{_PARAMETER})*)?)?)", re.ASCII
)
"""What stands behind the scheme where no sign of it needs a second look: a log-in, hosts, a database, parameters."""
_SECRET_PARAMETERS: Final = ("password", "sslpassword")
_SHOWN_PARAMETERS: Final = ("host", "hostaddr", "port")


class AddressError(ValueError):
    """The address can't be read. The message repeats no part of it."""


def parse_address(url: str) -> URL:
    """Return the parts of a ledger's address. Any spelling of PostgreSQL's scheme means the driver that is used here.

    A user name or password may hold an `@` unescaped where only one reading is possible. Raises AddressError.
    """
    scheme, separator, rest = url.partition("://")
    try:
        if not separator or scheme.partition("+")[0] not in _POSTGRESQL:
            return make_url(url)
        userinfo, tail = _split(rest)
        place, mark, parameters = tail.partition("?")
        # SQLAlchemy takes an @ of a parameter for the end of a log-in
        parsed = make_url(f"{_DRIVER}://{place}{mark}{parameters.replace('@', '%40')}")
    except (SQLAlchemyError, ValueError) as error:
        if isinstance(error, AddressError):
            raise
        raise AddressError("the address is malformed") from None
    if userinfo is None:
        return parsed
    user, colon, password = userinfo.partition(":")
    return parsed.set(username=unquote(user), password=unquote(password) if colon else None)


def shown_address(url: str) -> str:
    """Return an address for a person to read: without user name, password, and parameters but those of the host."""
    try:
        parsed = parse_address(url)
    except AddressError:
        return "an address that can't be read"
    if parsed.get_backend_name() == "sqlite":
        return parsed.render_as_string()
    if parsed.get_backend_name() not in _POSTGRESQL:  # no ledger can be there; a password may reach to the last @
        scheme, _, rest = url.partition("://")
        _, at, place = rest.rpartition("@")
        return f"{scheme}://{HIDDEN}@{place.partition('?')[0]}" if at else f"{scheme}://{place.partition('?')[0]}"
    shown = parsed._replace(drivername=parsed.get_backend_name(), username=None, password=None)
    shown = shown.set(query={name: value for name, value in parsed.query.items() if name in _SHOWN_PARAMETERS})
    text = shown.render_as_string(hide_password=False)
    return text if parsed.username is None else text.replace("://", f"://{HIDDEN}@", 1)


def without_secrets(parsed: URL) -> URL:
    """Return the address without a password, wherever it was written."""
    return parsed._replace(password=None).difference_update_query(_SECRET_PARAMETERS)


def login_words(url: str) -> frozenset[str]:
    """Return the user name, the password and what may be part of them, as messages of a database might repeat them.

    Host and database are shown anyway, and a message is about them where one of them has the user's name.
    """
    parsed = parse_address(url)
    secrets = {value for name, value in parsed.query.items() if name in _SECRET_PARAMETERS and isinstance(value, str)}
    return (userinfo_parts(url) | secrets) - {parsed.host or "", parsed.database or ""}


def _split(rest: str) -> tuple[str | None, str]:
    """Split off what stands before the host: as it is usually written, else at the one `@` that a host can follow."""
    if (plainly := _PLAINLY.fullmatch(rest)) is not None:
        return plainly[1], plainly[2]
    ends = [
        index
        for index, char in enumerate(rest)
        if char == "@" and "@" not in rest[index + 1 :].partition("?")[0].partition("/")[0]
    ]
    if not ends:
        return None, rest
    if len(ends) > 1:
        raise AddressError("the address has more than one @; write those that don't stand before the host as %40")
    return rest[: ends[0]], rest[ends[0] + 1 :]
