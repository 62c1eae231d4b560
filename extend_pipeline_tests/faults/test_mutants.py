"""Mistakes that cost money or a file can still be made of the code; that each is found by the matrix is what `make
mutants` shows, in two minutes."""

from __future__ import annotations

import pytest

from extend_pipeline_tests.faults.mutants.mutations import MUTANTS, Mutant, problems
from extend_pipeline_tests.faults.mutants.run import text_of
from extend_pipeline_tests.faults.scenarios.combinations import matrix
from extend_pipeline_tests.faults.scenarios.specials import SPECIALS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_can_be_made_of_the_code_as_it_stands(mutant: Mutant) -> None:
    assert problems(mutant, text_of(mutant)) == []
    known = {scenario.name for scenario in matrix()} | SPECIALS.keys()
    assert set(mutant.scenarios) <= known
