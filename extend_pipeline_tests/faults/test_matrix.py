"""The part of the matrix that runs with the other tests: every failpoint and every fault of each provider, the
specials, and floors under how much really happened. All of it: `make matrix`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import pytest

from extend_pipeline.base.failpoints import POINTS
from extend_pipeline_tests.faults.homes.factory import HomeFactory, home_factory
from extend_pipeline_tests.faults.report import failure_text, sums
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult
from extend_pipeline_tests.faults.scenarios.combinations import EXCLUDED, Scenario, is_walked, matrix, matrix_slice
from extend_pipeline_tests.faults.scenarios.run import run, run_scenario
from extend_pipeline_tests.faults.scenarios.specials import SPECIALS, in_slice, needs_kill
from extend_pipeline_tests.faults.upstream import PROVIDERS, faults_of, without_effect

A_TEST: Final = 24  # scenarios: what two workers share should come in pieces of some seconds

T = TypeVar("T")


def parts_of(whole: Sequence[T]) -> list[tuple[int, Sequence[T]]]:
    """Pieces of at most A_TEST, each with where it begins."""
    return [(start, whole[start : start + A_TEST]) for start in range(0, len(whole), A_TEST)]


SLICES: Final = [
    pytest.param(provider, part, id=f"{provider}-{start}")
    for provider in PROVIDERS
    for start, part in parts_of(matrix_slice([provider]))
]
SPECIAL_PARTS: Final = [
    pytest.param(part, id=str(start)) for start, part in parts_of([name for name in SPECIALS if in_slice(name)])
]


@pytest.fixture(scope="module")
def factory() -> Iterator[HomeFactory]:
    """One factory for all tests of a worker."""
    with home_factory() as opened:
        yield opened


def nothing_found(results: list[ScenarioResult]) -> None:
    """Every promise held, in every result."""
    failed = [failure_text(result) for result in results if result.findings]
    assert not failed, "\n".join(failed)
    total = sums(results)
    assert (total.double, total.unknown) == (0, 0)


@pytest.mark.parametrize(("provider", "chosen"), SLICES)
def test_a_kill_while_a_fault_is_armed_costs_nothing_twice_and_loses_nothing(
    provider: str, chosen: list[Scenario], factory: HomeFactory
) -> None:
    results = [run_scenario(scenario, factory) for scenario in chosen]
    nothing_found(results)
    total = sums(results)
    assert total.scenarios == len(chosen)
    assert total.kills == len(chosen)
    assert total.faults >= sum(len(scenario.faults) for scenario in chosen)
    assert total.late <= len(chosen) // 4  # a fault that waits for new work says little of the crash
    assert total.charges >= 2 * len(chosen)
    assert total.films >= 2 * len(chosen)
    if provider != "kling" and len(chosen) == A_TEST:
        assert total.adopted + total.resubmitted >= 1  # what only the operator may decide did come up


@pytest.mark.parametrize("chosen", SPECIAL_PARTS)
def test_races_losses_and_lies_cost_nothing_twice_and_lose_nothing(chosen: list[str], factory: HomeFactory) -> None:
    results = [SPECIALS[name](factory) for name in chosen]
    nothing_found(results)
    total = sums(results)
    assert total.scenarios == len(chosen)
    assert [name for name, result in zip(chosen, results, strict=True) if needs_kill(name) and not result.kills] == []
    assert total.charges >= 2 * len(chosen)


def test_the_matrix_is_every_failpoint_times_every_fault_times_every_provider() -> None:
    whole = {scenario.name for scenario in matrix()}
    expected = sum(
        sum(is_walked(point, provider) for point in POINTS) * len(faults_of(provider)) for provider in PROVIDERS
    )
    assert len(whole) == len(matrix()) == expected >= 9_000
    assert {scenario.hit for scenario in matrix()} == {1, 2}


def test_each_failpoint_and_each_fault_of_each_provider_is_in_the_slice() -> None:
    def pairs(scenarios: list[Scenario]) -> set[tuple[str, str]]:
        of_points = {(scenario.provider, scenario.point) for scenario in scenarios}
        return of_points | {(scenario.provider, fault.name) for scenario in scenarios for fault in scenario.faults}

    assert pairs(matrix_slice()) == pairs(matrix())
    assert {len({fault.where for fault in scenario.faults}) for scenario in matrix_slice()} == {1, 2}


def test_every_failpoint_is_walked_or_excluded_with_a_test_that_covers_it() -> None:
    tests = Path(__file__).parents[1]
    for point in POINTS:
        for provider in PROVIDERS:
            reasons = [
                exclusion
                for exclusion in EXCLUDED
                if point.startswith(exclusion.prefix) and provider in exclusion.providers
            ]
            assert is_walked(point, provider) == (not reasons)
            for exclusion in reasons:
                assert exclusion.reason
                assert all((tests / name.strip()).exists() for name in exclusion.covered_by.split(",")), exclusion


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_left_out_for_want_of_a_field_never_strikes(provider: str, factory: HomeFactory) -> None:
    orders = [{"kind": kind, "where": where, "times": 99} for kind, where in without_effect(provider)]
    for by_list in (False, True):
        home = factory.home(provider, (1, 1), by_list=by_list)
        home.sandbox.faults(orders)
        result = ScenarioResult(provider, "")
        run(home, result, "plain")
        assert result.findings == []
        assert len(home.book().charges) == 2
        struck = [(order["kind"], order["where"]) for order in home.sandbox.faults() if order["fired"]]
        assert struck == []
        home.tear_down()
