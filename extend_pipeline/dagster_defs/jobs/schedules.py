"""Define the schedules. The nightly one is off until the operator turns it on, because the poll sensor requests runs
all day. Their hours are in the home's time zone at the time when Dagster loads the definitions."""

from zoneinfo import ZoneInfo

import dagster as dg

from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB, unfinished_runs
from extend_pipeline.dagster_defs.jobs.reconcile import RECONCILE_JOB
from extend_pipeline.dagster_defs.jobs.report import REPORT_JOB
from extend_pipeline.dagster_defs.jobs.run_log import summarize_mistakes
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.ledger.read import queries


def build_nightly_backfill_schedule(mount: Mount, timezone: str) -> dg.ScheduleDefinition:
    """Return the nightly schedule for a time zone (an IANA name)."""

    @dg.schedule(
        name=mount.name("nightly_backfill_schedule"),
        job_name=mount.name(ADVANCE_JOB),
        cron_schedule="5 0 * * *",  # just after midnight, when a new day's budget begins
        execution_timezone=timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        required_resource_keys={mount.home_key},
        description="Every night: one run for all unfinished videos, until they are done or the night is over.",
    )
    def nightly_backfill_schedule(
        context: dg.ScheduleEvaluationContext, **_resources: object
    ) -> dg.RunRequest | dg.SkipReason:
        """Request one run that lasts until every video is done or needs an operator. It is not one run a partition or
        range, because a run costs 10 s of CPU and the unfinished videos are scattered among the finished."""
        with mount.home_of(context).open() as pipeline:
            declare_catalogue(pipeline)
            wrong = pipeline.settings.with_home(summarize_mistakes(mistakes(pipeline)))
            if wrong:
                context.log.warning(wrong)
            _warn_of_another_timezone(context, pipeline.configuration.timezone, timezone)
            with pipeline.ledger.read() as connection:
                unfinished = queries.videos(connection, unfinished=True)
        if not unfinished:
            return dg.SkipReason("every video is complete")
        if under_way := unfinished_runs(context.instance, mount):
            return dg.SkipReason(
                f"run {under_way[0].run_id} is in progress; {counted(len(unfinished), 'video')} unfinished"
            )
        night = context.scheduled_execution_time.astimezone(ZoneInfo(timezone)).date().isoformat()
        config = {"ops": {"advance": {"config": {"linger_s": 1800.0}}}}
        return dg.RunRequest(
            run_key=f"nightly-{night}", run_config=config, tags={"extend_pipeline/backfill": f"nightly {night}"}
        )

    return nightly_backfill_schedule


def build_daily_reconciliation_schedule(mount: Mount, timezone: str) -> dg.ScheduleDefinition:
    """Return the daily schedule of reconcile_job, at an hour of a time zone (an IANA name)."""
    return dg.ScheduleDefinition(
        name=mount.name("daily_reconciliation_schedule"),
        job_name=mount.name(RECONCILE_JOB),
        cron_schedule="40 13 * * *",  # because bills may be 12 h late: by then they include yesterday
        execution_timezone=timezone,
        default_status=mount.schedule_status(),
        description="Once a day: compares the ledger with the lists and bills of every account that was used.",
    )


def build_report_schedule(mount: Mount, timezone: str) -> dg.ScheduleDefinition:
    """Return the daily schedule of report_job, at an hour of a time zone (an IANA name)."""

    @dg.schedule(
        name=mount.name("report_schedule"),
        job_name=mount.name(REPORT_JOB),
        # when the night's run is over, which lasts for six hours at most, and on one day of the year until 7:05
        cron_schedule="30 7 * * *",
        execution_timezone=timezone,
        default_status=mount.schedule_status(),
        required_resource_keys={mount.home_key},
        description="Every morning: the report about the warehouse file as it was published last.",
    )
    def report_schedule(context: dg.ScheduleEvaluationContext, **_resources: object) -> dg.RunRequest | dg.SkipReason:
        """Request the run of a day, once there is a published file. Nothing is published for it."""
        home = mount.home_of(context)
        if (reason := home.why_not_set_up()) or not home.settings().warehouse_path.exists():
            unpublished = f"nothing has been published yet: a run of {mount.name(ADVANCE_JOB)} does it"
            return dg.SkipReason(reason or unpublished)
        _warn_of_another_timezone(context, home.timezone(), timezone)
        day = context.scheduled_execution_time.astimezone(ZoneInfo(timezone)).date().isoformat()
        return dg.RunRequest(run_key=f"report-{day}")

    return report_schedule


def _warn_of_another_timezone(context: dg.ScheduleEvaluationContext, now: str, timezone: str) -> None:
    if now != timezone:
        context.log.warning(
            f"the home's timezone is now {now}, and schedules still run by {timezone}: reload the code location in "
            "Dagster"
        )
