"""Schedules. Off until somebody turns them on: the poll sensor asks for runs all day."""

import dagster as dg

from extend_pipeline.defs.jobs import advance_job, unfinished_runs
from extend_pipeline.defs.resources import HomeResource
from extend_pipeline.defs.telling import mistakes_in_short
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.holds import mistakes
from extend_pipeline.ledger import reads


@dg.schedule(
    job=advance_job,
    cron_schedule="5 0 * * *",  # just after midnight UTC, when a new day's budget begins
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night: one run for every unfinished video, however many, until they are done or the night is.",
)
def nightly_backfill_schedule(
    context: dg.ScheduleEvaluationContext, home: HomeResource
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run that stays until nothing goes on by itself. One run and not one a partition or a range of them:
    a run costs 10 s of CPU, and the unfinished videos are scattered among the finished."""
    with home.open() as pipeline:
        declare_catalogue(pipeline)
        wrong = mistakes_in_short(mistakes(pipeline))
        if wrong:
            context.log.warning(wrong)
        with pipeline.ledger.read() as connection:
            unfinished = reads.videos(connection, unfinished=True)
    if not unfinished:
        return dg.SkipReason("every video is complete")
    if under_way := unfinished_runs(context.instance):
        return dg.SkipReason(f"run {under_way[0].run_id} is at it already; {len(unfinished)} videos are unfinished")
    night = context.scheduled_execution_time.date().isoformat()
    config = {"ops": {"advance": {"config": {"linger_s": 1800.0}}}}
    return dg.RunRequest(
        run_key=f"nightly-{night}", run_config=config, tags={"extend_pipeline/backfill": f"nightly {night}"}
    )
