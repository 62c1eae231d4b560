"""Kling's Authorization: a short-lived HS256 token made from a key pair, or an API key as it is."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import jwt

from extend_pipeline.providers.wire.credentials import Bearer, Credentials, KeyPair, SecretFault, SingleKey, read_secret

LIFETIME_S: Final = 1800  # docs/upstream/kling.md, "Authentication": exp = now + 1800
BACKDATE_S: Final = 5  # nbf = now − 5
MARGIN_S: Final = 120  # a token this near to its end isn't used: a call may take a minute, and clocks differ


# the provider chooses how long a secret key is, and PyJWT's advice against a short one is nothing a user can follow
warnings.filterwarnings("ignore", message="The HMAC key is")


@dataclass(frozen=True, slots=True)
class _Minted:
    pair: tuple[str, str]
    at: float
    bearer: Bearer

    def __repr__(self) -> str:
        return "_Minted(…)"

    def fits(self, pair: tuple[str, str], now: float) -> bool:
        return self.pair == pair and self.at - BACKDATE_S <= now <= self.at + LIFETIME_S - MARGIN_S


class KlingTokens:
    """Answers with a Bearer that is valid now. Safe to use from several threads.

    `now` is seconds of UTC since 1970. Secrets are read anew for each call, so that a changed key is used at once.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        now: Callable[[], float],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._credentials = credentials
        self._now = now
        self._environment = environment
        self._minted: _Minted | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KlingTokens({self._credentials!r})"

    @property
    def mints(self) -> bool:
        """Whether a refused token can be replaced by a new one."""
        return isinstance(self._credentials, KeyPair)

    def bearer(self) -> Bearer | SecretFault:
        """The header's value, kept until shortly before its end."""
        match self._credentials:
            case SingleKey(api_key_env=variable):
                key = read_secret(variable, self._environment)
                return key if isinstance(key, SecretFault) else Bearer(key, (key,))
            case KeyPair(access_key_env=access_variable, secret_key_env=secret_variable):
                access = read_secret(access_variable, self._environment)
                secret = read_secret(secret_variable, self._environment)
                if isinstance(access, SecretFault):
                    return access
                if isinstance(secret, SecretFault):
                    return secret
                return self._kept((access, secret))

    def forget(self, refused: Bearer) -> None:
        """Drop a token that the upstream refused; one that another thread has made since stays."""
        with self._lock:
            if self._minted is not None and self._minted.bearer is refused:
                self._minted = None

    def _kept(self, pair: tuple[str, str]) -> Bearer | SecretFault:
        with self._lock:
            now = self._now()
            if self._minted is not None and self._minted.fits(pair, now):
                return self._minted.bearer
            try:
                token = mint(*pair, now=now)
            except jwt.PyJWTError as error:
                # the error's text is left out: a library may quote the key in it
                return SecretFault(f"the secret key can't sign a token ({type(error).__name__}); check its variable")
            self._minted = _Minted(pair, now, Bearer(token, (token, *pair)))
            return self._minted.bearer


def mint(access_key: str, secret_key: str, *, now: float) -> str:
    """Kling's token: header {alg, typ}, claims iss, exp, nbf and no iat. `now` is seconds since 1970."""
    claims = {"iss": access_key, "exp": int(now) + LIFETIME_S, "nbf": int(now) - BACKDATE_S}
    return jwt.encode(claims, secret_key, algorithm="HS256", headers={"typ": "JWT"})
