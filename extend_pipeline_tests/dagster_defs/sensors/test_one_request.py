"""Several poll sensors have due work at the same moment, and one of them requests a run."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from extend_pipeline.dagster_defs.mount import OWN, Mount
from extend_pipeline.dagster_defs.sensors.one_request import REQUEST_S, may_request
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

SENSORS = ("kling", "kling-gateway", "vidu", "luma")


def test_one_of_several_ticks_at_once_may_request_a_run() -> None:
    with dg.DagsterInstance.ephemeral() as instance, ThreadPoolExecutor(len(SENSORS)) as pool:
        may = list(pool.map(lambda name: may_request(instance, OWN, name, now_s=1_000.0), SENSORS))
        assert may.count(True) == 1
        asked, other = SENSORS[may.index(True)], SENSORS[may.index(False)]
        assert may_request(instance, OWN, asked, now_s=1_001.0), "its own run would be there by its next tick"
        assert not may_request(instance, OWN, other, now_s=1_001.0 + REQUEST_S - 1)
        assert may_request(instance, OWN, other, now_s=1_001.0 + REQUEST_S), "the request is lost"
        clips = Mount.model_validate({"key_prefix": "clips"})
        assert may_request(instance, clips, asked, now_s=1_002.0), "another home's"


def test_a_run_that_has_come_and_is_over_holds_up_no_other_request(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert may_request(place.instance, OWN, "vidu", now_s=0.0)
    assert place.advance().success
    assert may_request(place.instance, OWN, "kling", now_s=1.0)


def test_a_tick_says_that_another_sensor_has_just_requested_a_run(place: Place) -> None:
    place.write([video("one")])
    place.sensor("catalog_sensor")
    assert may_request(place.instance, OWN, "vidu", now_s=time.time())
    tick = place.sensor("kling_poll_sensor")
    assert tick.run_requests == []
    check_user_text(tick.skip_message)
