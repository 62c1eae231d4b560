"""Signatures are checked as Standard Webhooks says, by the clock of its caller, and without an exception."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from extend_pipeline.config.load import load_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.providers.wire.credentials import SecretFault
from extend_pipeline.webhooks.signature import HEADERS, TOLERANCE_MS, is_signed, read_signing_secrets
from extend_pipeline_tests.support.home.engine_home import EngineHome, entry, source_id
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.webhooks.receiving import (
    OTHER_SECRET,
    SECRET,
    SECRET_ENV,
    called_back_account,
    signed,
)

NOW_S = 1_795_000_000
BODY = '{"task_id": "1", "prompt": "Nebel über dem Hafen ✓"}'.encode()


def test_what_the_specifications_own_example_signs_is_valid() -> None:
    # standardwebhooks.com, "Verifying signatures": the published example
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert is_signed((secret,), headers, body, now_ms=1_614_265_330_000)
    assert not is_signed((secret,), headers, body, now_ms=1_614_265_330_000 + TOLERANCE_MS + 1)


def test_our_check_and_the_librarys_agree() -> None:
    now = datetime.now(UTC)
    headers = signed(BODY, int(now.timestamp()))
    assert Webhook(SECRET).verify(BODY, headers, json_parse=False) is None
    assert is_signed((SECRET,), headers, BODY, now_ms=int(now.timestamp() * 1000))


@pytest.mark.parametrize("secrets", [(SECRET, OTHER_SECRET), (OTHER_SECRET, SECRET)])
def test_during_a_rotation_either_secret_and_either_signature_is_valid(secrets: tuple[str, ...]) -> None:
    first, second = signed(BODY, NOW_S), signed(BODY, NOW_S, secret=OTHER_SECRET)
    combined = {**first, "webhook-signature": f"{second['webhook-signature']} {first['webhook-signature']}"}
    for headers in (first, second, combined):
        assert is_signed(secrets, headers, BODY, now_ms=NOW_S * 1000)
    assert is_signed((SECRET,), combined, BODY, now_ms=NOW_S * 1000)
    assert not is_signed((SECRET,), second, BODY, now_ms=NOW_S * 1000)
    assert not is_signed((), first, BODY, now_ms=NOW_S * 1000)


def test_a_secret_may_stand_without_its_prefix() -> None:
    assert is_signed((SECRET.removeprefix("whsec_"),), signed(BODY, NOW_S), BODY, now_ms=NOW_S * 1000)


@pytest.mark.parametrize(
    "sent", ["", "x", "nan", "inf", "1e9", "-1", "0", "1795000000.5", "١٧٩٥٠٠٠٠٠٠", " 1795000000", "9" * 13]
)
def test_a_time_that_is_no_plain_number_of_seconds_is_no_time(sent: str) -> None:
    headers = {**signed(BODY, NOW_S), "webhook-timestamp": sent}
    assert not is_signed((SECRET,), headers, BODY, now_ms=NOW_S * 1000)


@pytest.mark.parametrize(("offset_ms", "good"), [(TOLERANCE_MS, True), (TOLERANCE_MS + 1, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_five_minutes_are_the_bound_on_both_sides(offset_ms: int, good: bool, sign: int) -> None:
    assert is_signed((SECRET,), signed(BODY, NOW_S), BODY, now_ms=NOW_S * 1000 + sign * offset_ms) is good


@given(
    st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=60)),
    st.binary(max_size=60),
    st.integers(0, 2**45),
)
def test_no_header_and_no_body_raises_or_passes(headers: dict[str, str], body: bytes, now_ms: int) -> None:
    assert not is_signed((SECRET,), headers, body, now_ms=now_ms)
    assert not is_signed((SECRET,), {**signed(body, NOW_S), **headers, "webhook-id": "x"}, body, now_ms=NOW_S * 1000)


def _account(home: EngineHome, **changes: Any) -> Account:
    home.write([entry("v", source_id(0))], called_back_account("kling", home.sandbox.base_url, 9, **changes))
    return load_configuration(home.settings, PROVIDERS, now=datetime.now(UTC)).accounts["k"]


def test_secrets_are_read_by_name_and_only_their_names_are_shown(home: EngineHome) -> None:
    account = _account(home, signed=True)
    assert read_signing_secrets(account, {SECRET_ENV: SECRET}) == (SECRET,)
    assert read_signing_secrets(account, {SECRET_ENV: f" {SECRET}  {OTHER_SECRET}\n"}) == (SECRET, OTHER_SECRET)
    short = base64.b64encode(b"fifteen bytes..").decode()
    for value in ("", "  ", "whsec_%%%", f"{SECRET} whsec_é", f"whsec_{short}", "whsec_"):
        fault = read_signing_secrets(account, {SECRET_ENV: value})
        assert isinstance(fault, SecretFault)
        check_user_text(fault.message)
        assert SECRET_ENV in fault.message
        assert not value.strip() or value.strip() not in fault.message
    assert read_signing_secrets(_account(home), {SECRET_ENV: SECRET}) is None
