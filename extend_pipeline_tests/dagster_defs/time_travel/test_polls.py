"""The poll sensors of all providers, tick for tick: nothing due, one run for what is due, and none beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest

from extend_pipeline.dagster_defs.jobs.alive import NO_SIGN_S
from extend_pipeline.dagster_defs.sensors.one_request import REQUEST_S
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.sandbox import SandboxConfig
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP
from extend_pipeline_tests.dagster_defs.time_travel.conftest import Traveller, Travelling
from extend_pipeline_tests.support.home.engine_home import KEY_ENVS
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, other_entry
from extend_pipeline_tests.support.home.homes import account, video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

SENSORS: Final = {spec.name: f"{spec.name.replace('-', '_')}_poll_sensor" for spec in PROVIDERS}
NIGHT: Final = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Europe's clocks change


def write_every_provider(at: Traveller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a home with an account of each provider and a video of one hop for each."""
    for name, settings in SandboxConfig().others.items():
        monkeypatch.setenv(KEY_ENVS[name.replace("gateway", "kling-gateway")], settings.key)
    sandbox, url = at.place.sandbox, at.place.sandbox.base_url
    kling = at.place.owned(video("kling-video", extend=ONE_HOP))
    at.place.plant([kling])
    sources: dict[str, dict[str, Any]] = {}
    for provider in OTHERS:
        sandbox.seed([{"video_id": f"{provider}-source", "duration": 5.0, "provider": provider}])
        sources[provider] = {"task_id": f"{provider}-source"}
    sources["vidu"] = {"video_url": sandbox.source_url("vidu-source")}
    sources["kling-gateway"] = {
        "video_id": "kling-gateway-source", "model": "kling-v1-6", "mode": "std", "duration": 5.0
    }  # fmt: skip
    entries = [kling, *(other_entry(provider, f"{provider}-video", sources[provider]) for provider in OTHERS)]
    accounts = [account(url), *(other_account(provider, url) for provider in OTHERS)]
    write_home(at.place.home, url, entries, accounts=accounts)


def ticks(at: Traveller) -> dict[str, Any]:
    """Evaluate the poll sensor of every provider; return the ticks by provider."""
    return {provider: at.tick(name) for provider, name in SENSORS.items()}


def test_sensors_of_providers_without_an_account_say_so_on_every_tick(travelling: Travelling) -> None:
    at = travelling(NIGHT)
    assert all("init" in tick.skip_message for tick in ticks(at).values())
    at.place.write([video("one")])
    for _ in range(2):
        skipped = ticks(at)
        assert skipped.pop("kling").run_requests
        for name, tick in skipped.items():
            assert not tick.run_requests
            check_user_text(tick.skip_message, without={name: "PROVIDER"})
        at.wait(hours=1)


def test_each_provider_requests_a_run_for_its_own_work_and_none_while_one_is_coming_or_goes_on(
    travelling: Travelling, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = travelling(NIGHT)
    write_every_provider(at, monkeypatch)
    at.tick("catalog_sensor")
    for provider, name in SENSORS.items():
        at.wait(seconds=REQUEST_S)  # the run that the one before has requested never comes
        [request] = at.tick(name).run_requests
        assert request.run_key is None
        assert request.tags["extend_pipeline/asked_by"].startswith(f"{provider}: ")

    silent = at.start_run()
    for _ in range(3):
        at.wait(seconds=NO_SIGN_S / 4)
        for tick in ticks(at).values():
            assert not tick.run_requests
            assert f"run {silent.run_id} is " in tick.skip_message
    at.wait(seconds=NO_SIGN_S / 2)  # its process never gave a sign of life
    at.look_at_runs()
    assert sum(len(tick.run_requests) for tick in ticks(at).values()) == 1
    ended = at.place.instance.get_run_by_id(silent.run_id)
    assert ended is not None
    assert ended.is_failure

    assert at.place.advance(linger_s=0).success
    assert at.charges() == len(PROVIDERS)
    for _ in range(3):
        for tick in ticks(at).values():
            assert not tick.run_requests
            check_user_text(tick.skip_message)
        at.wait(hours=8)
    assert at.charges() == len(PROVIDERS)
