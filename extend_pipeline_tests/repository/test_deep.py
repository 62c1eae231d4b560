"""Every test runs in `make test` or in `make test-deep`, and the list of deep tests names existing tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline_tests.deep import DEEP, NOT_DEEP, rank

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("beginning", DEEP)
def test_every_deep_test_exists(beginning: str) -> None:
    path, _, name = beginning.partition("::")
    assert f"def {name or 'test_'}" in (TESTS / path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("nodeid", "deep"),
    [
        ("chaos/test_chaos.py::test_a_storm", True),
        ("engine/doubt/test_recover.py::test_a_claim[postgresql]", True),
        ("engine/doubt/test_recover.py::test_a_claim[sqlite]", False),
        ("ledger/test_claims.py::test_a_claim[postgresql]", False),
        ("faults/test_matrix.py::test_the_matrix_is_every_failpoint", False),
    ],
)
def test_rank_tells_deep_tests_from_quick_tests(nodeid: str, deep: bool) -> None:
    assert (rank(f"extend_pipeline_tests/{nodeid}") < NOT_DEEP) is deep
