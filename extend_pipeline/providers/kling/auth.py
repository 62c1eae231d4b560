"""Sign in to Kling with a short-lived HS256 token that is made from a key pair, or with an API key."""

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import jwt

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.http.retry import clock_skew
from extend_pipeline.providers.protocol import Answer
from extend_pipeline.providers.wire.codes import TOKEN_REFUSED
from extend_pipeline.providers.wire.credentials import Auth, Credential, SecretFault, read_secret

LIFETIME_S: Final = 1800  # docs/upstream/kling.md, "Authentication": exp = now + 1800
BACKDATE_S: Final = 5  # nbf = now − 5
MARGIN_S: Final = 120  # a token this close to its expiry isn't used, because a call may take a minute and clocks differ
OWN_CLOCK_S: Final = 60.0
"""If our clock and the response's Date differ by this much or more, our clock is the reason why a token's times were
refused. The Date can only prevent a submit, never cause one."""
_MIN_REPORTED_SKEW_S: Final = 3.0

# the provider sets the length of a secret key, so the user can't act on PyJWT's warning about a short one
warnings.filterwarnings("ignore", message="The HMAC key is")


@dataclass(frozen=True, slots=True)
class _Minted:
    pair: tuple[str, str] = field(repr=False)
    at: float
    credential: Credential

    def fits(self, pair: tuple[str, str], now: float) -> bool:
        return self.pair == pair and self.at - BACKDATE_S <= now <= self.at + LIFETIME_S - MARGIN_S


class KlingAuth(Auth):
    """The Auth of a Kling account. Safe to use from several threads.

    `now` returns seconds of UTC since 1970. Secrets are read for each request, so that a changed key is used at once.
    """

    def __init__(
        self,
        credentials: KeyPair | ApiKey,
        *,
        now: Callable[[], float] = time.time,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._credentials = credentials
        self._now = now
        self._environment = environment
        self._minted: _Minted | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"KlingAuth({self._credentials!r})"

    def credential(self) -> Credential | SecretFault:
        """Return the API key, or a token that is reused until shortly before its expiry."""
        match self._credentials:
            case ApiKey(api_key_env=variable):
                key = read_secret(variable, self._environment)
                return key if isinstance(key, SecretFault) else Credential(key, (key,))
            case KeyPair(access_key_env=access_variable, secret_key_env=secret_variable):
                access = read_secret(access_variable, self._environment)
                secret = read_secret(secret_variable, self._environment)
                if isinstance(access, SecretFault):
                    return access
                if isinstance(secret, SecretFault):
                    return secret
                return self._token((access, secret))

    def renew(self, refused: Credential, answer: Answer) -> bool:
        """Drop a token after 1003 or 1004, and return whether a new one can be made. A newer token of another thread is
        kept."""
        if not (isinstance(self._credentials, KeyPair) and answer.code in TOKEN_REFUSED):
            return False
        with self._lock:
            if self._minted is not None and self._minted.credential is refused:
                self._minted = None
        return True

    def check_clock(self, answer: Answer, headers: Mapping[str, str]) -> tuple[Answer, bool]:
        """Compare this machine's clock with the response's Date after 1003 or 1004, which refuse a token's times; see
        `Auth.check_clock`."""
        skew = clock_skew(headers, now=self._now()) if answer.code in TOKEN_REFUSED else None
        if skew is None or abs(skew) < _MIN_REPORTED_SKEW_S:
            return answer, False
        direction = "ahead of" if skew > 0 else "behind"
        message = f"{answer.message} (this machine's clock is {abs(skew):.0f} s {direction} Kling's)"
        return replace(answer, message=message), abs(skew) >= OWN_CLOCK_S

    def _token(self, pair: tuple[str, str]) -> Credential | SecretFault:
        with self._lock:
            now = self._now()
            if self._minted is not None and self._minted.fits(pair, now):
                return self._minted.credential
            try:
                token = mint(*pair, now=now)
            except jwt.PyJWTError as error:
                # without the error's text, in which the library may quote the key
                return SecretFault(f"the secret key can't sign a token ({type(error).__name__}); check its variable")
            self._minted = _Minted(pair, now, Credential(token, (token, *pair)))
            return self._minted.credential


def mint(access_key: str, secret_key: str, *, now: float) -> str:
    """Return a token for Kling: header {alg, typ}, claims iss, exp and nbf, without iat. `now` is seconds since
    1970."""
    claims = {"iss": access_key, "exp": int(now) + LIFETIME_S, "nbf": int(now) - BACKDATE_S}
    return jwt.encode(claims, secret_key, algorithm="HS256", headers={"typ": "JWT"})
