"""Kling's token and the secrets it is made of."""

from __future__ import annotations

import threading

import jwt
import pytest

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.kling.auth import KlingAuth, mint
from extend_pipeline.providers.protocol import Answer
from extend_pipeline.providers.wire.credentials import Credential, SecretFault, read_secret

ACCESS, SECRET = "canary-access-0123456789", "canary-secret-0123456789abcdefghij"
PAIR = KeyPair(access_key_env="K_ACCESS", secret_key_env="K_SECRET")
REFUSED = Answer("the token has expired", http_status=401, code="1004")
START = 1_780_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def tokens(clock: Clock, credentials: KeyPair | ApiKey = PAIR, **changes: str) -> KlingAuth:
    return KlingAuth(credentials, now=clock, environment={"K_ACCESS": ACCESS, "K_SECRET": SECRET, **changes})


def credential_of(source: KlingAuth) -> Credential:
    credential = source.credential()
    assert isinstance(credential, Credential)
    return credential


def test_the_token_has_klings_header_and_claims_and_no_iat() -> None:
    token = mint(ACCESS, SECRET, now=START + 0.9)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False})
    assert claims == {"iss": ACCESS, "exp": int(START) + 1800, "nbf": int(START) - 5}


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    clock = Clock()
    source = tokens(clock)
    first = credential_of(source)
    clock.now = START + 1800 - 121
    assert credential_of(source) is first
    clock.now = START + 1800 - 60
    assert credential_of(source).token != first.token


def test_a_clock_that_was_set_back_makes_a_new_token() -> None:
    clock = Clock()
    source = tokens(clock)
    first = credential_of(source)
    clock.now = START - 4
    assert credential_of(source) is first
    clock.now = START - 3600
    assert credential_of(source).token != first.token


def test_a_refused_token_is_made_again_but_not_the_one_that_replaced_it() -> None:
    clock = Clock()
    source = tokens(clock)
    first = credential_of(source)
    clock.now += 10
    assert source.renew(first, REFUSED)
    second = credential_of(source)
    assert second.token != first.token
    assert source.renew(first, REFUSED)
    assert credential_of(source) is second


def test_a_changed_key_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_ACCESS", ACCESS)
    monkeypatch.setenv("K_SECRET", SECRET)
    source = KlingAuth(PAIR, now=Clock())
    first = credential_of(source)
    monkeypatch.setenv("K_SECRET", "another-" + SECRET)
    assert credential_of(source).token != first.token


def test_many_threads_get_one_token() -> None:
    source = tokens(Clock())
    credentials: list[Credential] = []
    threads = [threading.Thread(target=lambda: credentials.append(credential_of(source))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(credentials) == 16
    assert len({id(credential) for credential in credentials}) == 1


def test_an_api_key_goes_out_as_it_is() -> None:
    api_key = "api-key-1"
    source = tokens(Clock(), ApiKey(api_key_env="K_API"), K_API=api_key)
    assert credential_of(source).headers == {"authorization": f"Bearer {api_key}"}
    assert not source.renew(credential_of(source), REFUSED)


@pytest.mark.parametrize("missing", ["K_ACCESS", "K_SECRET"])
def test_a_missing_variable_is_named(missing: str) -> None:
    fault = tokens(Clock(), PAIR, **{missing: ""}).credential()
    assert isinstance(fault, SecretFault)
    assert missing in fault.message
    assert "not set" in fault.message


@pytest.mark.parametrize("value", [" key", "key\n", "k\tey", "k ey", "kéy", "k\x00ey", "ключ", "key\r\n"])
def test_a_secret_that_no_header_can_hold_is_reported_without_its_value(value: str) -> None:
    fault = read_secret("K", {"K": value})
    assert isinstance(fault, SecretFault)
    assert "K" in fault.message
    assert value.strip() not in fault.message


def test_a_secret_that_cannot_sign_a_token_is_reported_without_its_value() -> None:
    fault = tokens(Clock(), K_SECRET="ssh-rsa-AAAAB3NzaC1yc2EAAAADAQABAAABgQ").credential()
    assert isinstance(fault, SecretFault)
    assert "AAAAB3" not in fault.message


def test_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_ACCESS", ACCESS)
    monkeypatch.setenv("K_SECRET", SECRET)
    source = KlingAuth(PAIR, now=Clock())  # reads this process's environment, so that it holds no copy of the secrets
    credential = credential_of(source)
    assert ACCESS in credential.secrets
    attributes = vars(source)
    assert credential in [getattr(value, "credential", None) for value in attributes.values()], "it holds the token"
    shown = f"{source!r} {credential!r} {PAIR!r} {attributes!r} {[str(value) for value in attributes.values()]}"
    assert "canary" not in shown
    assert credential.token not in shown
    assert "K_ACCESS" in shown
