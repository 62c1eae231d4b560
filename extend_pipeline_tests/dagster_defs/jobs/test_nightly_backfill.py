"""The nightly schedule requests runs while videos are unfinished."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from extend_pipeline.dagster_defs.jobs.schedules import build_nightly_backfill_schedule
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def test_the_nightly_backfill_requests_one_run_while_a_video_is_unfinished(place: Place, tmp_path: Path) -> None:
    night = datetime(2026, 11, 22, 0, 5, tzinfo=UTC)

    def evaluate() -> dg.RunRequest | dg.SkipReason:
        with dg.build_schedule_context(
            instance=instance, scheduled_execution_time=night, resources={"home": place.resource}
        ) as context:
            outcome = build_nightly_backfill_schedule(OWN, "UTC")(context)
        assert isinstance(outcome, dg.RunRequest | dg.SkipReason)
        return outcome

    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        request = evaluate()
        assert isinstance(request, dg.RunRequest)
        assert request.run_key == "nightly-2026-11-22"
        job = place.defs.resolve_job_def("advance_job")
        result = job.execute_in_process(run_config=request.run_config, instance=instance)
        assert result.success
        skipped = evaluate()
        assert isinstance(skipped, dg.SkipReason)
        check_user_text(skipped.skip_message or "")
