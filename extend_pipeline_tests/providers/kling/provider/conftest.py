"""Keys of Kling's in the environment of each test."""

from __future__ import annotations

import pytest

from extend_pipeline_tests.providers.kling.provider.scripted import ACCESS, API_KEY, SECRET


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_ACCESS", ACCESS)
    monkeypatch.setenv("K_SECRET", SECRET)
    monkeypatch.setenv("K_API", API_KEY)
