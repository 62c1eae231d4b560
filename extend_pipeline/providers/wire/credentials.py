"""Read secrets from the environment for each request. The names of variables are configuration; their values are never
shown."""

import hmac
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.protocol import Answer


@dataclass(frozen=True, slots=True)
class SecretFault:
    """Why a secret can't be used; the message contains the variable's name and never its value."""

    message: str


@dataclass(frozen=True, slots=True)
class Credential:
    """The value of the Authorization header. `secrets` are all values that must never be stored or logged. `prefix` is
    "" for an upstream that takes the bare key (docs/upstream/vidu.md, "Authentication")."""

    token: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    prefix: str = "Bearer "

    @property
    def headers(self) -> dict[str, str]:
        """Return the Authorization header."""
        return {"authorization": f"{self.prefix}{self.token}"}


class Auth(ABC):
    """How an account signs in. Safe to use from several threads."""

    @abstractmethod
    def credential(self) -> Credential | SecretFault:
        """Return the credential for a request, or why there is none."""

    def renew(self, refused: Credential, answer: Answer) -> bool:  # noqa: ARG002
        """Return whether a request with this response may succeed with a new credential; if so, drop the refused one,
        so that the next `credential` is new. False here, because there is only one credential."""
        return False

    def check_clock(self, answer: Answer, headers: Mapping[str, str]) -> tuple[Answer, bool]:  # noqa: ARG002
        """Return the answer, with the clock difference in its message if that may be why the credential was refused,
        and whether this machine's clock is at fault. `headers` are the response's, with lower-case names. Here the
        answer is unchanged, because a key has no times."""
        return answer, False


@dataclass(frozen=True, slots=True)
class KeyAuth(Auth):
    """Sign in with one API key, read for each request. `prefix` precedes it in the header."""

    key: ApiKey
    prefix: str = "Bearer "

    def credential(self) -> Credential | SecretFault:
        """Return the key, or why it can't be sent."""
        value = read_secret(self.key.api_key_env)
        return value if isinstance(value, SecretFault) else Credential(value, (value,), self.prefix)


def read_secret(variable: str, environment: Mapping[str, str] | None = None) -> str | SecretFault:
    """Return the value of an environment variable, or why it can't be sent in a header."""
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


def key_auth(account: Account, prefix: str = "Bearer ") -> KeyAuth:
    """Return the Auth of an account that signs in with one key. Raises ValueError for other credentials."""
    key = account.credentials
    if not isinstance(key, ApiKey):
        raise ValueError(f"account {account.name}: {account.provider} signs in with one key: give it as api_key_env")
    return KeyAuth(key, prefix)


def variables_of(account: Account) -> tuple[str, ...]:
    """Return the environment variables that hold an account's keys."""
    match account.credentials:
        case KeyPair() as pair:
            return pair.access_key_env, pair.secret_key_env
        case ApiKey() as key:
            return (key.api_key_env,)


def key_fault(account: Account) -> str:
    """Return why this process can't sign in to an account, with the variable's name; empty if it can try."""
    values = (read_secret(variable) for variable in variables_of(account))
    return "; ".join(value.message for value in values if isinstance(value, SecretFault))


def key_mark(account: Account, salt: str) -> str:
    """Return the salt and a 48-bit HMAC of an account's key, to tell keys apart without storing them. The key can't be
    guessed from it, because keys are random."""
    values = "\0".join(os.environ.get(variable, "") for variable in variables_of(account))
    return f"{salt}:{hmac.new(salt.encode(), values.encode('utf-8', 'surrogateescape'), 'sha256').hexdigest()[:12]}"
