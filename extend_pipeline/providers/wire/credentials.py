"""Secrets, read from the environment at the moment of use and never shown: names are configuration, values are not."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.config.model.credentials import KeyPair as KeyPairNames


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
    `prefix` is "" where an upstream wants the bare key (docs/upstream/vidu.md, "Authentication")."""

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


def credentials_of(account: Account) -> Credentials:
    """Return the names of an account's secrets, in this package's words."""
    match account.credentials:
        case KeyPairNames() as keys:
            return KeyPair(keys.access_key_env, keys.secret_key_env)
        case ApiKey() as key:
            return SingleKey(key.api_key_env)


def variables_of(account: Account) -> tuple[str, ...]:
    """Return the environment variables that hold an account's keys."""
    match credentials_of(account):
        case KeyPair(access, secret):
            return access, secret
        case SingleKey(key):
            return (key,)


def key_fault(account: Account) -> str:
    """Return why this process can't sign in to an account, by the variable's name; empty where it can try to."""
    found = (read_secret(variable) for variable in variables_of(account))
    return "; ".join(value.message for value in found if isinstance(value, SecretFault))


def key_mark(account: Account, salt: str) -> str:
    """Return a mark of the key that this process has for an account: it tells two keys apart and gives none away. The
    first 48 bits of an HMAC, after the salt; keys are random, so they can't be guessed by it."""
    values = "\0".join(os.environ.get(variable, "") for variable in variables_of(account))
    return f"{salt}:{hmac.new(salt.encode(), values.encode('utf-8', 'surrogateescape'), 'sha256').hexdigest()[:12]}"


def read_key(key: SingleKey, *, prefix: str = "Bearer ") -> Bearer | SecretFault:
    """An API key, read now, as it goes into the header."""
    value = read_secret(key.api_key_env)
    return value if isinstance(value, SecretFault) else Bearer(value, (value,), prefix)
