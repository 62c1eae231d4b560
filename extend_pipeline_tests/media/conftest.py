"""Fixtures of the media tests."""

from __future__ import annotations

import pytest

from extend_pipeline_tests.support.media.counts import Counts, count_av


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Return the counts of what libav opens, reads and decodes from now on."""
    return count_av(monkeypatch)
