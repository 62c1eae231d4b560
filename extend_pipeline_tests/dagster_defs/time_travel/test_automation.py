"""The condition of the tables over ticks: new data requests them once, a replay and advance_job's own runs do not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg

from extend_pipeline_tests.dagster_defs.time_travel.conftest import Traveller, Travelling
from extend_pipeline_tests.support.home.homes import video

TABLES: Final = [dg.AssetKey(name) for name in ("extension_lineage", "extension_costs", "extension_durations")]
ONE_HOP: Final = {"steps": 1, "prompt": "x"}
NIGHT: Final = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks change
TICK: Final = timedelta(seconds=30)


class Automation:
    """The automation sensor's ticks, half a minute apart, each with the cursor of the one before."""

    def __init__(self, at: Traveller) -> None:
        self._at, self._cursor = at, None

    def tick(self, later: timedelta = TICK) -> int:
        """Evaluate the tables' conditions some time later; return how many of them are requested."""
        self._at.wait(seconds=later.total_seconds())
        result: Any = dg.evaluate_automation_conditions(
            self._at.place.defs,
            self._at.place.instance,
            asset_selection=dg.AssetSelection.assets(*TABLES),
            evaluation_time=datetime.now(UTC),
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        return int(result.total_requested)

    def publish(self) -> None:
        """Run what a tick has requested."""
        job = self._at.place.defs.resolve_implicit_global_asset_job_def()
        assert job.execute_in_process(asset_selection=TABLES, instance=self._at.place.instance).success


def test_the_tables_are_requested_once_for_new_data_while_partitions_are_missing(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video(key, extend=ONE_HOP) for key in ("one", "two", "never")])
    at.tick("catalog_sensor")
    automation = Automation(at)
    assert [automation.tick() for _ in range(2)] == [0, 0]

    assert at.place.materialise("completed_extensions", keys=["one"]).success
    assert automation.tick() == 3
    assert automation.tick() == 0, "it was requested, and the run is on its way"
    automation.publish()
    assert [automation.tick(timedelta(hours=hours)) for hours in (0, 1, 24)] == [0, 0, 0]

    assert at.place.materialise("completed_extensions", keys=["one"]).success  # a replay: nothing new is bought
    assert [automation.tick() for _ in range(2)] == [0, 0]

    at.place.write([video(key, extend=ONE_HOP) for key in ("one", "two", "never", "new")])
    at.tick("catalog_sensor")
    assert automation.tick() == 0, "a new partition without a film is no new data"
    assert at.place.materialise("completed_extensions", keys=["two"]).success
    assert automation.tick(timedelta(hours=1)) == 3
    automation.publish()
    assert automation.tick() == 0
    assert at.charges() == 2


def test_what_advance_job_materializes_requests_nothing_and_a_run_by_hand_after_it_does(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    at.place.write([video("one", extend=ONE_HOP)])
    at.tick("catalog_sensor")
    automation = Automation(at)
    assert automation.tick() == 0
    assert at.place.advance(linger_s=0).success
    assert [automation.tick() for _ in range(3)] == [0, 0, 0]

    at.place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    at.tick("catalog_sensor")
    assert at.place.materialise("completed_extensions", keys=["two"]).success
    assert automation.tick(timedelta(hours=25)) == 3
    automation.publish()
    assert at.place.advance(linger_s=0).success  # nothing is due: it publishes nothing new
    assert [automation.tick() for _ in range(2)] == [0, 0]
