"""Entry point for Dagster. Tests, the demo and production all use `build_defs`."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.dagster_defs.assets.partitioned import extend_videos
from extend_pipeline.dagster_defs.assets.tables import publish_tables
from extend_pipeline.dagster_defs.checks.ledger import check_tables
from extend_pipeline.dagster_defs.jobs.advance import advance_job
from extend_pipeline.dagster_defs.jobs.approve import approve_job
from extend_pipeline.dagster_defs.jobs.reconcile import reconcile_job
from extend_pipeline.dagster_defs.jobs.schedules import (
    build_daily_reconciliation_schedule,
    build_nightly_backfill_schedule,
)
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.dagster_defs.sensors.outcomes import doubt_sensor, ledger_sensor
from extend_pipeline.dagster_defs.sensors.retention import retention_sensor
from extend_pipeline.dagster_defs.sensors.work import build_poll_sensor, catalog_sensor, tables_sensor
from extend_pipeline.providers.registry import PROVIDERS


def build_defs(*, resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Return all assets, checks, jobs, schedules and sensors.

    The catalogue and the accounts are read in ticks and runs. Only the home's time zone is read here, because Dagster
    needs the time zone of a schedule when it is defined.
    """
    resources = {"home": HomeResource(), **(resource_overrides or {})}
    home = resources["home"]
    timezone = home.timezone() if isinstance(home, HomeResource) else UTC_ZONE
    return dg.Definitions(
        assets=[extend_videos, publish_tables],
        asset_checks=[check_tables],
        jobs=[advance_job, approve_job, reconcile_job],
        schedules=[build_nightly_backfill_schedule(timezone), build_daily_reconciliation_schedule(timezone)],
        sensors=[
            catalog_sensor,
            *(build_poll_sensor(spec.name) for spec in PROVIDERS),
            retention_sensor,
            doubt_sensor,
            ledger_sensor,
            tables_sensor,
        ],
        resources=resources,
        # a run has one step, and a process of its own for it would take 7 s more
        executor=dg.in_process_executor,
    )


defs = build_defs()
