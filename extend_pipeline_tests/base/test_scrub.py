"""No secret and no text of unbounded length is stored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.base.scrub import RAW_CAP, scrub

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"


def test_known_secrets_are_removed_at_any_place() -> None:
    assert "hunter22" not in scrub("a hunter22 b{hunter22}", secrets=("hunter22",))


def test_an_empty_secret_removes_nothing() -> None:
    text = "all of it"
    assert scrub(text, secrets=("",)) == text


def test_texts_that_look_like_credentials_are_removed_though_unknown() -> None:
    for text in (
        f"Authorization: Bearer {JWT}",
        f'{{"token": "{JWT}"}}',
        "api_key=sk-abcdef123456",
        '{"secret_key": "abcdef123456"}',
        "bearer abcdef123456",
        "Authorization: Token abcdef123456",
        '{"authorization": "Basic abcdef123456"}',
        "can't read https://cdn.example/a.mp4?X-Amz-Signature=abcdef123456&v=1",
        '{"url": "https:\\/\\/cdn.example\\/a.mp4?sig=abcdef123456"}',
        "HTTPS://cdn.example/a.mp4#abcdef123456",
    ):
        scrubbed = scrub(text)
        assert "abcdef123456" not in scrubbed
        assert "canary" not in scrubbed
        assert JWT not in scrubbed


def test_ordinary_words_of_a_provider_stay_readable() -> None:
    message = '{"code":1303,"message":"parallel task over resource pack limit","request_id":"d57c7fa4-9f49"}'
    assert scrub(message) == message
    message = "can't read https://cdn.example/a%20b.mp4 (is it there?); see http://help.example/codes"
    assert scrub(message) == message


def test_nothing_acts_on_a_terminal_that_shows_a_log() -> None:
    assert scrub("\x1b[2J\x9b1m\u202egnp\u2066 a\r\n\tb\u2028") == "\\x1b[2J\\x9b1m\\u202egnp\\u2066 a\\r\n\tb\\u2028"
    assert scrub("Grüße, سلام, 影片 🎬\u200d") == "Grüße, سلام, 影片 🎬\u200d"


def test_a_long_text_is_cut_and_marked() -> None:
    scrubbed = scrub("x" * (RAW_CAP * 10))
    assert len(scrubbed) == RAW_CAP
    assert scrubbed.endswith("…")


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_scrubbed_text_can_be_stored_in_any_database(text: str) -> None:
    scrubbed = scrub(text)
    assert "\x00" not in scrubbed
    assert scrubbed.encode("utf-8").decode("utf-8") == scrubbed
