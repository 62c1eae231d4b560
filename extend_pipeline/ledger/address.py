"""Parse the ledger's address, format it without credentials, and find or make the file that it names."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from extend_pipeline.base.private import make_private_folder
from extend_pipeline.base.userinfo import HIDDEN, userinfo_parts

_POSTGRESQL: Final = ("postgresql", "postgres")  # hosting services write the second
_DRIVER: Final = "postgresql+psycopg"
_WITH_AT: Final = ("user", "password", "application_name", "fallback_application_name", "options", "host", "service")
_HOST: Final = r"(?:\[[^\]@/?]*\]|[^@/?:,\[\]]*)(?::[0-9]*)?"
_PARAMETER: Final = rf"(?:\w+=[^&@]*|(?:{'|'.join(_WITH_AT)})=[^&]*)"
_UNAMBIGUOUS: Final = re.compile(
    rf"(?:([^@/?]*)@)?({_HOST}(?:,{_HOST})*(?:/[^@?]*)?(?:\?(?:{_PARAMETER}(?:&{_PARAMETER})*)?)?)", re.ASCII
)
"""Everything behind an unambiguous scheme: credentials, hosts, a database, parameters."""
_SECRET_PARAMETERS: Final = ("password", "sslpassword")
_SHOWN_PARAMETERS: Final = ("host", "hostaddr", "port")


class AddressError(ValueError):
    """The address can't be parsed. The message repeats no part of it."""


def parse_address(url: str) -> URL:
    """Return the parts of a ledger's address. Any spelling of PostgreSQL's scheme selects the driver that is used here.

    A user name or password may contain an unescaped `@` if only one reading is possible. Raises AddressError.
    """
    scheme, separator, rest = url.partition("://")
    try:
        if not separator or scheme.partition("+")[0] not in _POSTGRESQL:
            return make_url(url)
        userinfo, tail = _split(rest)
        place, mark, parameters = tail.partition("?")
        # because SQLAlchemy reads an @ in a parameter as the end of the credentials
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
    """Return an address for an operator to read: without credentials, and with no parameters but the host's."""
    try:
        parsed = parse_address(url)
    except AddressError:
        return "an address that can't be read"
    if parsed.get_backend_name() == "sqlite":
        return parsed.render_as_string()
    if parsed.get_backend_name() not in _POSTGRESQL:  # not a ledger's address; a password may reach to the last @
        scheme, _, rest = url.partition("://")
        _, at, place = rest.rpartition("@")
        return f"{scheme}://{HIDDEN}@{place.partition('?')[0]}" if at else f"{scheme}://{place.partition('?')[0]}"
    shown = parsed._replace(drivername=parsed.get_backend_name(), username=None, password=None)
    shown = shown.set(query={name: value for name, value in parsed.query.items() if name in _SHOWN_PARAMETERS})
    text = shown.render_as_string(hide_password=False)
    return text if parsed.username is None else text.replace("://", f"://{HIDDEN}@", 1)


def without_secrets(parsed: URL) -> URL:
    """Return the address without a password in the credentials or in the parameters."""
    return parsed._replace(password=None).difference_update_query(_SECRET_PARAMETERS)


def credential_parts(url: str) -> frozenset[str]:
    """Return the user name, the password and their parts, as messages of a database might repeat them.

    Host and database are left out, because they are shown anyway and a message may be about them.
    """
    parsed = parse_address(url)
    secrets = {value for name, value in parsed.query.items() if name in _SECRET_PARAMETERS and isinstance(value, str)}
    return (userinfo_parts(url) | secrets) - {parsed.host or "", parsed.database or ""}


def _split(rest: str) -> tuple[str | None, str]:
    """Split the credentials from the rest: by the usual form, else at the only `@` that a host can follow."""
    if (unambiguous := _UNAMBIGUOUS.fullmatch(rest)) is not None:
        return unambiguous[1], unambiguous[2]
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


def lacks_file(url: URL) -> bool:
    """Return whether an address names a SQLite file that is not there."""
    return url.get_backend_name() == "sqlite" and not (url.database and Path(url.database).exists())


def make_private_file(url: URL) -> None:
    """Create the empty file of a SQLite ledger, closed to other users, if there is none. Raises OSError."""
    if url.get_backend_name() == "sqlite" and url.database:
        path = Path(url.database)
        make_private_folder(path.parent)
        if not path.exists():
            path.touch(mode=0o600)
