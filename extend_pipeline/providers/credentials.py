"""Secrets, read from the environment at the moment of use and never shown: names are configuration, values are not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The names of the two variables that hold an access key and its secret key."""

    access_key_env: str
    secret_key_env: str


@dataclass(frozen=True, slots=True)
class SingleKey:
    """The name of the variable that holds an API key."""

    api_key_env: str


Credentials = KeyPair | SingleKey


@dataclass(frozen=True, slots=True)
class SecretFault:
    """A secret that can't be used, told by its variable's name and never by its value."""

    message: str


@dataclass(frozen=True, slots=True)
class Bearer:
    """What goes into the Authorization header. `secrets` are all values that must not be written down anywhere.
    `prefix` is "" where an upstream wants the bare key (upstream/003)."""

    token: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    prefix: str = "Bearer "

    @property
    def headers(self) -> dict[str, str]:
        """The header to send."""
        return {"authorization": f"{self.prefix}{self.token}"}


def read_secret(variable: str, environment: Mapping[str, str] | None = None) -> str | SecretFault:
    """The value of an environment variable, if it can stand in a header as it is."""
    value = (os.environ if environment is None else environment).get(variable, "")
    if not value:
        return SecretFault(f"the environment variable {variable} is not set; set it to the account's key")
    if value != value.strip():
        return SecretFault(
            f"the environment variable {variable} begins or ends with white space or a line break; set it without"
        )
    if not all("!" <= char <= "~" for char in value):
        return SecretFault(
            f"the environment variable {variable} holds white space, control characters or characters beyond ASCII,"
            " which no key has; set it again"
        )
    return value


def read_key(key: SingleKey, *, prefix: str = "Bearer ") -> Bearer | SecretFault:
    """An API key, read now, as it goes into the header."""
    value = read_secret(key.api_key_env)
    return value if isinstance(value, SecretFault) else Bearer(value, (value,), prefix)
