"""Mistakes that cost money or a file, each found by the matrix; in the code as it is it finds nothing."""

from __future__ import annotations

import pytest

from extend_pipeline_tests.faults.mutants import judge, judged, text_of
from extend_pipeline_tests.faults.mutations import MUTANTS, Mutant, problems
from extend_pipeline_tests.faults.scenarios import matrix
from extend_pipeline_tests.faults.specials import SPECIALS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_of_the_code_as_it_stands(mutant: Mutant) -> None:
    assert problems(mutant, text_of(mutant)) == []
    known = {scenario.name for scenario in matrix()} | SPECIALS.keys()
    assert set(mutant.scenarios) <= known


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mistake_is_found(mutant: Mutant) -> None:
    verdict = judge(mutant)
    assert verdict.caught, f"{mutant.name} survives {mutant.scenarios}"


def test_the_code_as_it_is_passes_the_scenarios_that_find_mistakes() -> None:
    chosen = list(dict.fromkeys(mutant.scenarios[0] for mutant in MUTANTS))
    verdict = judged("none", None, chosen)
    assert not verdict.caught, f"{verdict.scenario}: {verdict.finding}"
    assert verdict.played == len(chosen)
