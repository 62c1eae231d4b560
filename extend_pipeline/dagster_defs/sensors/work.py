"""Sensors: the catalogue becomes partitions, and what is due becomes one run. On by default: without accounts they only
say so, and without a budget nothing is spent."""

import time
from collections.abc import Callable
from typing import Final

import dagster as dg

from extend_pipeline.base.wording import counted
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.dagster_defs.assets.tables import PUBLISHED
from extend_pipeline.dagster_defs.checks.ledger import CONFIGURATION_IS_SOUND, evaluation
from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB, unfinished_runs
from extend_pipeline.dagster_defs.jobs.run_log import mistakes_in_short
from extend_pipeline.dagster_defs.partitions import VIDEOS, videos
from extend_pipeline.dagster_defs.resources import HomeResource, failure
from extend_pipeline.dagster_defs.sensors.due import poll_accounts, what_is_due
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries

TICK_S: Final = 40.0
"""Dagster ends a tick after 60 s; what a tick has begun must be written down by then."""

KEYS_A_TICK: Final = 5_000  # Dagster keeps a tick's requests as one row; the rest comes with the next ticks


@dg.sensor(
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Entries of the catalogue → partitions. What left the catalogue is withdrawn and keeps its partition; "
    "that of a renamed video moves along.",
)
def catalog_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult | dg.SkipReason:
    """Declare the catalogue in the ledger and add what is missing. Raises Failure with every mistake, and then leaves
    ledger and partitions as they are; the asset check `configuration_is_sound` is told as well, where that is news.
    What the ledger knows has a partition too: a lost DAGSTER_HOME fills up again."""
    if reason := home.lacks_accounts():
        return dg.SkipReason(reason)
    with home.open() as pipeline:
        _tell_check(context.instance, pipeline)
        if pipeline.configuration.problems:
            raise failure(ConfigError(pipeline.configuration.problems))
        told = declare_catalogue(pipeline)
        with pipeline.ledger.read() as connection:
            rows = queries.videos(connection)
    keys = [row.video_key for row in rows]
    there = set(context.instance.get_dynamic_partitions(VIDEOS))
    missing = [key for key in keys if key not in there]
    first_keys = {row.first_key for row in rows if row.first_key is not None}
    left = sorted((first_keys & there) - set(keys))
    context.log.info(
        f"{counted(len(keys), 'video')}; {len(told.new)} new, {len(told.changed)} changed, "
        f"{len(told.withdrawn)} withdrawn; {len(missing)} without a partition"
    )
    if not missing and not left:
        return dg.SkipReason(f"every video has its partition ({len(keys)})")
    added = missing[:KEYS_A_TICK]
    requests = [videos.build_add_request(added)] if added else []
    removed = [videos.build_delete_request(left)] if left else []
    return dg.SensorResult(
        dynamic_partitions_requests=[*requests, *removed],
        skip_reason=dg.SkipReason(
            f"{len(added)} partitions added, {len(missing) - len(added)} to come"
            + (f", {len(left)} moved to a new key" if left else "")
        ),
    )


def _tell_check(instance: dg.DagsterInstance, pipeline: Pipeline) -> None:
    """Evaluate `configuration_is_sound` where it would say something else than the last time."""
    now = evaluation(pipeline, CONFIGURATION_IS_SOUND)
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key([CONFIGURATION_IS_SOUND])
    record = found.get(CONFIGURATION_IS_SOUND)
    last = None if record is None or record.event is None else record.event.dagster_event
    before = None if last is None else last.asset_check_evaluation_data.description
    if before != now.description and not (before is None and now.passed):
        instance.report_runless_asset_event(now)


def build_poll_sensor(
    provider: str, *, clock: Callable[[], float] = time.monotonic, tick_s: float = TICK_S
) -> dg.SensorDefinition:
    """Return the sensor that looks after one provider's accounts: `<provider>_poll_sensor`.

    Each tick polls, writes down what it saw, and asks for one run of advance_job when something is due, unless one is
    queued or running. There is no run_key: a key that was used once could never ask again, and a doubled run costs no
    money, since the ledger decides what is submitted. `clock` is in seconds and never goes back.
    """

    @dg.sensor(
        name=f"{provider.replace('-', '_')}_poll_sensor",
        job_name=ADVANCE_JOB,  # by name: with the job itself, Dagster 1.13 warns of a parameter that nobody gave
        minimum_interval_seconds=10,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Polls {provider} accounts, and asks for one run of advance_job when something is due.",
    )
    def poll_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.RunRequest | dg.SkipReason:
        deadline = clock() + tick_s
        if reason := home.lacks_accounts():
            return dg.SkipReason(reason)
        with home.open() as pipeline:
            names = [name for name, account in pipeline.accounts.items() if account.provider == provider]
            lacking = [f"account {name}: {fault}" for name, fault in pipeline.without_key().items() if name in names]
            wrong = "; ".join(filter(None, (mistakes_in_short(mistakes(pipeline)), *lacking)))
            if wrong:
                context.log.warning(wrong)
            if not names:
                return dg.SkipReason("; ".join(filter(None, (f"no account of {provider}", wrong))))
            ledger = look(pipeline.settings, pipeline.ledger)
            if not ledger.may_spend and not ledger.kind.can_be_accepted:
                return dg.SkipReason(f"{ledger.message} → {ledger.todo}")
            looked_at = counted(poll_accounts(pipeline, names, deadline=deadline, clock=clock), "task")
            if under_way := unfinished_runs(context.instance):  # it plans for itself, before each round
                run = under_way[0]
                return dg.SkipReason(f"run {run.run_id} is {run.status.value.lower()}; {looked_at} looked at")
            due = what_is_due(pipeline, names)
        context.log.info(f"{looked_at} looked at; due: {due or 'nothing'}")
        if not due:
            asks = "" if ledger.may_spend else f"nothing is submitted: {ledger.message} → {ledger.todo}"
            told = filter(None, (f"nothing is due; {looked_at} looked at", wrong, asks))
            return dg.SkipReason("; ".join(told))
        return dg.RunRequest(tags={"extend_pipeline/asked_by": f"{provider}: {due}"[:200]})

    return poll_sensor


def build_tables_sensor() -> dg.AutomationConditionSensorDefinition:
    """Publishes the tables after runs that were started by hand; see `tables.table_condition`."""
    return dg.AutomationConditionSensorDefinition(
        "tables_automation_sensor",
        target=dg.AssetSelection.assets(*(each.asset for each in PUBLISHED)),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
