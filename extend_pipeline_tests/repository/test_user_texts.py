"""The golden file of texts for users: it is compared per test, and parts that differ from run to run are replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from extend_pipeline_tests.support.user_texts import GOLDEN, WRITE, check_user_text


def test_a_text_is_known_with_any_folder_port_and_time(tmp_path: Path) -> None:
    check_user_text(f"{tmp_path}/catalog.yaml at 127.0.0.1:8123 since 2026-11-28 16:00 UTC; no task 8f3e9a7c1b2d4f60")
    check_user_text("drawn: 17 units", without={"17": "PRICE"})


UNKNOWN: Final = "a text that no test has recorded"


def test_another_text_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WRITE, raising=False)
    with pytest.raises(AssertionError):
        check_user_text(UNKNOWN)


def test_while_recording_nothing_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = GOLDEN.read_bytes()
    monkeypatch.setenv(WRITE, str(tmp_path / "recording"))
    check_user_text(UNKNOWN)
    assert UNKNOWN in (tmp_path / "recording").read_text(encoding="utf-8")
    assert GOLDEN.read_bytes() == before
