"""Build the definitions of one home, to be mounted beside other definitions of a code location."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from extend_pipeline.dagster_defs.assets.partitioned import build_extend_videos
from extend_pipeline.dagster_defs.assets.report import build_extension_report
from extend_pipeline.dagster_defs.assets.tables import build_publish_tables
from extend_pipeline.dagster_defs.checks.ledger import build_check_tables
from extend_pipeline.dagster_defs.jobs.advance import build_advance_job
from extend_pipeline.dagster_defs.jobs.approve import build_approve_job
from extend_pipeline.dagster_defs.jobs.extend import build_extend_job
from extend_pipeline.dagster_defs.jobs.partitions import build_partitions_job
from extend_pipeline.dagster_defs.jobs.reconcile import build_reconcile_job
from extend_pipeline.dagster_defs.jobs.report import build_report_job
from extend_pipeline.dagster_defs.jobs.schedules import (
    build_daily_reconciliation_schedule,
    build_nightly_backfill_schedule,
    build_report_schedule,
)
from extend_pipeline.dagster_defs.mount import OWN, Mount, Start
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.dagster_defs.sensors.alert import build_alert_sensor
from extend_pipeline.dagster_defs.sensors.failed_runs import Own
from extend_pipeline.dagster_defs.sensors.outcomes import build_doubt_sensor, build_ledger_sensor
from extend_pipeline.dagster_defs.sensors.retention import build_retention_sensor
from extend_pipeline.dagster_defs.sensors.work import build_catalog_sensor, build_poll_sensor, build_tables_sensor
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.report.charts import is_installed


def build_defs(
    *,
    home: str | Path | HomeResource | None = None,
    key_prefix: str | Sequence[str] = (),
    group_name: str | None = None,
    sensors: Start = "stopped",
    schedules: Start = "stopped",
    resource_key: str | None = None,
    tags: Mapping[str, str] | None = None,
    owners: Sequence[str] = (),
    freshness_hours: float | None = None,
) -> dg.Definitions:
    """Return all assets, checks, jobs, schedules and sensors of one home, for `Definitions.merge`.

    `home` is the folder of catalog.yaml (None: EXTEND_PIPELINE_HOME, else `data`), or a HomeResource. `key_prefix`
    (`"studio"`, `["studio", "films"]`) stands before all asset keys, and before the names of jobs, sensors, schedules,
    the set of partitions and the resource; give each home its own. `group_name` is one group for all assets, instead
    of one for videos and one for tables. Sensors and schedules are stopped until an operator starts them, `"running"`
    from the start, or left out with `"none"`; the nightly schedule is stopped in any case. `resource_key` is the key
    of the home's resource. `tags` and `owners` are those of all assets. With `freshness_hours` the tables have a
    freshness policy. No executor is among the definitions: jobs name theirs. Raises pydantic's ValidationError with
    every mistake in these arguments.
    """
    mount = Mount.model_validate(
        {
            "key_prefix": key_prefix,
            "group_name": group_name,
            "resource_key": resource_key,
            "sensors": sensors,
            "schedules": schedules,
            "tags": tags or {},
            "owners": owners,
            "freshness_hours": freshness_hours,
        }
    )
    return build_mounted(mount, home if isinstance(home, HomeResource) else HomeResource(home=str(home or "")))


def build_own() -> dg.Definitions:
    """Return the definitions of this project's own workspace."""
    return build_mounted(OWN, HomeResource())


def build_mounted(mount: Mount, home: HomeResource) -> dg.Definitions:
    """Return the definitions of a home as a mount names them.

    The catalogue and the accounts are read in ticks and runs. Only the home's time zone is read here, because Dagster
    needs the time zone of a schedule when it is defined. The report has its asset, job and schedule only where the
    extra `report` is installed: a run that is to make all tables would fail by it elsewhere, and the schedule each day.
    """
    has_report = is_installed()
    assets = [build_extend_videos(mount), build_publish_tables(mount)]
    builders = (build_advance_job, build_extend_job, build_approve_job, build_partitions_job, build_reconcile_job)
    jobs = [build(mount) for build in builders]
    report_jobs = [build_report_job(mount)] if has_report else []
    if has_report:
        assets.append(build_extension_report(mount))
    own = Own(
        {job.name for job in jobs} | {job.name for job in report_jobs}, {key for asset in assets for key in asset.keys}
    )
    return dg.Definitions(
        assets=_with_code_references(assets),
        asset_checks=[build_check_tables(mount)],
        jobs=[*jobs, *report_jobs],
        schedules=[] if mount.schedules == "none" else _schedules(mount, home.timezone(), has_report=has_report),
        sensors=[] if mount.sensors == "none" else _sensors(mount, own),
        resources={mount.home_key: home},
    )


def _with_code_references(assets: Sequence[dg.AssetsDefinition]) -> Sequence[dg.AssetsDefinition]:
    """Return the assets with file and line of their ops, which the UI shows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # it would be printed at each start
        referring = dg.with_source_code_references(assets)
    return [asset for asset in referring if isinstance(asset, dg.AssetsDefinition)]


def _schedules(mount: Mount, timezone: str, *, has_report: bool) -> list[dg.ScheduleDefinition]:
    return [
        build_nightly_backfill_schedule(mount, timezone),
        build_daily_reconciliation_schedule(mount, timezone),
        *([build_report_schedule(mount, timezone)] if has_report else ()),
    ]


def _sensors(mount: Mount, own: Own) -> list[dg.SensorDefinition]:
    return [
        build_catalog_sensor(mount),
        *(build_poll_sensor(mount, spec.name) for spec in PROVIDERS),
        build_retention_sensor(mount),
        build_doubt_sensor(mount),
        build_ledger_sensor(mount),
        build_alert_sensor(mount, own),
        build_tables_sensor(mount),
    ]
