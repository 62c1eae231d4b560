"""When hops were made, seen, stored and reported, of a home that a run of Dagster has worked on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.measure import ProgramFailedError
from benchmarks.on_demand.hop_times import hop_times, reported, spread
from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS, EXTENSION_REQUESTS
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.sandbox import running_sandbox
from extend_pipeline_tests.dagster_defs.conftest import SMALL, open_place
from extend_pipeline_tests.support.home.homes import video


def test_the_times_of_each_hop_are_in_order(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "sandbox", SMALL) as sandbox, open_place(tmp_path / "home", sandbox) as place:
        place.write(
            [video("one", extend={"steps": 2, "prompt": "x"}), video("two", extend={"steps": 1, "prompt": "y"})]
        )
        assert place.advance().success
        with closing(open_ledger(place.resource.settings().ledger_url)) as ledger:
            times = hop_times(sandbox, ledger, place.instance)
            place.instance.wipe_assets([COMPLETED_EXTENSIONS])
            with pytest.raises(ProgramFailedError):
                hop_times(sandbox, ledger, place.instance)
    assert len(times) == 3
    for hop in times:
        assert hop.made <= hop.seen <= hop.stored <= hop.completed
        assert hop.seen <= hop.request <= hop.completed


def test_a_request_that_is_open_is_not_reported_as_ended(tmp_path: Path) -> None:
    slow = replace(SMALL, run_time=(60, 60))
    with running_sandbox(tmp_path / "sandbox", slow) as sandbox, open_place(tmp_path / "home", sandbox) as place:
        place.write([video("one", extend={"steps": 1, "prompt": "x"})])
        assert place.advance(linger_s=0.0).success
        assert place.count("extension_requests") > 0
        assert reported(place.instance, EXTENSION_REQUESTS) == {}
        sandbox.set_offset(120)
        assert place.advance().success
        assert reported(place.instance, EXTENSION_REQUESTS).keys() == {("one", 1)}
        assert reported(place.instance, COMPLETED_EXTENSIONS).keys() == {("one", 1)}


def test_a_spread_is_the_median_the_95th_percent_and_the_longest() -> None:
    assert spread([float(value) for value in range(101)]) == ["50.0 s", "95.0 s", "100.0 s"]
    assert spread([0.25]) == ["250 ms", "250 ms", "250 ms"]
