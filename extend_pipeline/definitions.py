"""Dagster's way in. Tests, the command line and production share one assembly: `build_defs`."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from extend_pipeline.config.registry import PROVIDERS
from extend_pipeline.defs.another_ledger import ledger_sensor
from extend_pipeline.defs.assets import extend_videos
from extend_pipeline.defs.checks import check_tables
from extend_pipeline.defs.decisions import approve_job
from extend_pipeline.defs.doubts import doubt_sensor
from extend_pipeline.defs.jobs import advance_job
from extend_pipeline.defs.reconciliation import daily_reconciliation_schedule, reconcile_job
from extend_pipeline.defs.resources import HomeResource
from extend_pipeline.defs.retention import retention_sensor
from extend_pipeline.defs.schedules import nightly_backfill_schedule
from extend_pipeline.defs.sensors import build_poll_sensor, build_tables_sensor, catalog_sensor
from extend_pipeline.defs.tables import publish_tables


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Everything that Dagster knows. Reads neither catalogue nor accounts: they are read at a tick or in a run."""
    return dg.Definitions(
        assets=[extend_videos, publish_tables],
        asset_checks=[check_tables],
        jobs=[advance_job, approve_job, reconcile_job],
        schedules=[nightly_backfill_schedule, daily_reconciliation_schedule],
        sensors=[
            catalog_sensor,
            *(build_poll_sensor(provider) for provider in PROVIDERS),
            retention_sensor,
            doubt_sensor,
            ledger_sensor,
            build_tables_sensor(),
        ],
        resources={"home": HomeResource(), **(resource_overrides or {})},
        # a process for each step would cost 7 s more a run, and there is one step
        executor=dg.in_process_executor,
    )


defs = build_defs()
