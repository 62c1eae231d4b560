"""Kling's token and the secrets it is made of."""

from __future__ import annotations

import threading

import jwt
import pytest

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.kling.auth import KlingAuth, mint
from extend_pipeline.providers.protocol import Answer
from extend_pipeline.providers.wire.credentials import Bearer, SecretFault, read_secret

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


def bearer(source: KlingAuth) -> Bearer:
    found = source.bearer()
    assert isinstance(found, Bearer)
    return found


def test_the_token_has_klings_header_and_claims_and_no_iat() -> None:
    token = mint(ACCESS, SECRET, now=START + 0.9)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False})
    assert claims == {"iss": ACCESS, "exp": int(START) + 1800, "nbf": int(START) - 5}


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    clock = Clock()
    source = tokens(clock)
    first = bearer(source)
    clock.now = START + 1800 - 121
    assert bearer(source) is first
    clock.now = START + 1800 - 60
    assert bearer(source).token != first.token


def test_a_clock_that_was_set_back_makes_a_new_token() -> None:
    clock = Clock()
    source = tokens(clock)
    first = bearer(source)
    clock.now = START - 4
    assert bearer(source) is first
    clock.now = START - 3600
    assert bearer(source).token != first.token


def test_a_refused_token_is_made_again_but_not_the_one_that_replaced_it() -> None:
    clock = Clock()
    source = tokens(clock)
    first = bearer(source)
    clock.now += 10
    assert source.renew(first, REFUSED)
    second = bearer(source)
    assert second.token != first.token
    assert source.renew(first, REFUSED)
    assert bearer(source) is second


def test_a_changed_key_is_used_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_ACCESS", ACCESS)
    monkeypatch.setenv("K_SECRET", SECRET)
    source = KlingAuth(PAIR, now=Clock())
    first = bearer(source)
    monkeypatch.setenv("K_SECRET", "another-" + SECRET)
    assert bearer(source).token != first.token


def test_many_threads_get_one_token() -> None:
    source = tokens(Clock())
    found: list[Bearer] = []
    threads = [threading.Thread(target=lambda: found.append(bearer(source))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 16
    assert len({id(one) for one in found}) == 1


def test_an_api_key_goes_out_as_it_is() -> None:
    api_key = "api-key-1"
    source = tokens(Clock(), ApiKey(api_key_env="K_API"), K_API=api_key)
    assert bearer(source).headers == {"authorization": f"Bearer {api_key}"}
    assert not source.renew(bearer(source), REFUSED)


@pytest.mark.parametrize("missing", ["K_ACCESS", "K_SECRET"])
def test_a_missing_variable_is_named(missing: str) -> None:
    fault = tokens(Clock(), PAIR, **{missing: ""}).bearer()
    assert isinstance(fault, SecretFault)
    assert missing in fault.message
    assert "not set" in fault.message


@pytest.mark.parametrize("value", [" key", "key\n", "k\tey", "k ey", "kéy", "k\x00ey", "ключ", "key\r\n"])
def test_a_secret_that_can_not_stand_in_a_header_is_told_without_showing_it(value: str) -> None:
    fault = read_secret("K", {"K": value})
    assert isinstance(fault, SecretFault)
    assert "K" in fault.message
    assert value.strip() not in fault.message


def test_a_secret_that_no_token_can_be_signed_with_is_a_fault_that_does_not_show_it() -> None:
    fault = tokens(Clock(), K_SECRET="ssh-rsa-AAAAB3NzaC1yc2EAAAADAQABAAABgQ").bearer()
    assert isinstance(fault, SecretFault)
    assert "AAAAB3" not in fault.message


def test_nothing_shows_a_secret() -> None:
    source = tokens(Clock())
    shown = f"{source!r} {bearer(source)!r} {source._minted!r} {PAIR!r} {vars(source)['_credentials']}"
    assert "canary" not in shown
    assert bearer(source).token not in shown
    assert "K_ACCESS" in shown
