"""The log-in of an address, before its host, is never shown."""

from __future__ import annotations

import time

import pytest

from extend_pipeline.base.scrub import scrub
from extend_pipeline.base.userinfo import hide_to_last_at, hide_userinfo, hide_words, userinfo_parts
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.settings import Settings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("can't reach http://ann:pw@proxy:3128 now", "can't reach http://…@proxy:3128 now"),
        ("https://a:b@c@host/x and ftp://u@h", "https://…@host/x and ftp://…@h"),
        ('{"url": "https:\\/\\/ann:pw@host\\/a"}', '{"url": "https:\\/\\/…@host\\/a"}'),
        ("https://cdn.example/@ann/a.mp4", "https://cdn.example/@ann/a.mp4"),
        ("ann@example.com", "ann@example.com"),
    ],
)
def test_a_log_in_is_removed_from_a_text(text: str, shown: str) -> None:
    assert hide_userinfo(text) == shown
    assert "pw@" not in scrub(text)


def test_a_malformed_log_in_is_hidden_up_to_the_last_at() -> None:
    assert hide_to_last_at("http://ann:p@ss/w@proxy") == "http://…@proxy"
    assert hide_to_last_at("sqlite:////home/ann@work/x") == "sqlite:////home/ann@work/x"


def test_only_whole_words_are_hidden() -> None:
    assert hide_words('"ann", annex', {"ann"}) == '"…", annex'
    assert userinfo_parts("postgresql://db/x") == frozenset()
    assert {"ann", "p%40", "p@"} <= userinfo_parts("postgresql://ann:p%40@db/x")


def test_a_hostile_text_costs_little() -> None:
    began = time.process_time()
    hide_userinfo("://" * 50_000 + "@")
    assert time.process_time() - began < 5


def test_a_setting_that_is_refused_is_repeated_without_its_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_MEDIA_URL", "https://ann:canary@x/" + "y" * 100 + "@media.example")
    with pytest.raises(ConfigError) as caught:
        Settings()
    assert "canary" not in str(caught.value)
