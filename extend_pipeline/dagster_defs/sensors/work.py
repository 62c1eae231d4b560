"""Sensors that turn the catalogue into partitions, and due work into one run. Without accounts they only report that,
and without a budget nothing is spent."""

import time
from collections.abc import Callable
from typing import Final

import dagster as dg

from extend_pipeline.base.wording import counted
from extend_pipeline.config.digest import digest
from extend_pipeline.dagster_defs.assets.tables import PUBLISHED
from extend_pipeline.dagster_defs.checks.ledger import CONFIGURATION_IS_VALID, evaluation
from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB, unfinished_runs
from extend_pipeline.dagster_defs.jobs.run_log import list_mistakes, summarize_mistakes
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.partitions import bring_in_line
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.dagster_defs.sensors.build import NOTHING, build_sensor
from extend_pipeline.dagster_defs.sensors.due import poll_accounts, what_is_due
from extend_pipeline.dagster_defs.sensors.one_request import ASKED_BY_TAG, may_request
from extend_pipeline.dagster_defs.sensors.unrecorded import unrecorded
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.process import mistakes, withdrawn_at_once

TICK_S: Final = 40.0
"""Seconds that a tick works. Dagster ends a tick after 60 s, and its results must be written by then."""

GET_S: Final = 10.0
"""Seconds that a query of a tick may take, so that an account that does not reply leaves time for what else is due."""


def build_catalog_sensor(mount: Mount) -> dg.SensorDefinition:
    """Return catalog_sensor for a mount."""
    return build_sensor(
        mount,
        "catalog_sensor",
        _catalog_tick,
        interval_s=10,
        description="Adds a partition for every video of the catalogue. A video that left the catalogue is withdrawn, "
        "and its partition goes when nothing of it is in flight; a renamed video's partition is replaced.",
    )


def _catalog_tick(context: dg.SensorEvaluationContext, home: HomeResource, mount: Mount) -> dg.SensorResult:
    """Declare the catalogue in the ledger and bring the partitions in line. The asset check `configuration_is_sound` is
    evaluated if its outcome has changed, by the cursor, which is a digest of what it has reported, or NOTHING. A
    catalogue with mistakes changes nothing: the reason of the tick has them all, and partitions stay in line with the
    last good catalogue."""
    until_s = time.monotonic() + TICK_S
    with home.open() as pipeline:
        declared = declare_catalogue(pipeline)
        wrong, withdrawn = mistakes(pipeline), withdrawn_at_once(pipeline)
        found = [*wrong, *([] if withdrawn is None else [withdrawn.message])]
        reported = digest(found)[:32] if found else NOTHING
        has_changed = reported != (context.cursor or NOTHING)
        checks = [evaluation(pipeline, mount, CONFIGURATION_IS_VALID)] if has_changed else []
        partitions = bring_in_line(context.instance, pipeline, mount, until_s=until_s)
    if declared.new or declared.changed or declared.withdrawn:
        context.log.info(
            f"{counted(len(declared.new), 'video')} new, {len(declared.changed)} changed, "
            f"{len(declared.withdrawn)} withdrawn"
        )
    return dg.SensorResult(
        skip_reason=dg.SkipReason(
            "\n".join(filter(None, (pipeline.settings.with_home(list_mistakes(wrong)), partitions.describe(mount))))
        ),
        cursor=reported,
        asset_events=checks,
    )


def build_poll_sensor(
    mount: Mount, provider: str, *, clock: Callable[[], float] = time.monotonic, tick_s: float = TICK_S
) -> dg.SensorDefinition:
    """Return the sensor of one provider's accounts: `<provider>_poll_sensor`.

    Each tick polls, writes down the task states, and requests one run of advance_job when something is due, unless one
    is queued or running. There is no run_key, because a used key could never request again; a duplicate run costs no
    money, because the ledger decides what is submitted. `clock` is in seconds and never goes back. A tick logs nothing,
    because Dagster keeps the file of its log for ever, and its text and the run's tag say the same.
    """

    def tick(context: dg.SensorEvaluationContext, home: HomeResource, mount: Mount) -> dg.RunRequest | dg.SkipReason:
        deadline = clock() + tick_s
        with home.open(get_deadline_s=GET_S) as pipeline:
            names = [name for name, account in pipeline.accounts.items() if account.provider == provider]
            lacking = [f"account {name}: {fault}" for name, fault in pipeline.without_key().items() if name in names]
            name_home = pipeline.settings.with_home
            wrong = name_home("; ".join(filter(None, (summarize_mistakes(mistakes(pipeline)), *lacking))))
            if not names:
                return _skip(f"no account of {provider}", wrong)
            ledger = look(pipeline.settings, pipeline.ledger)
            if not ledger.may_spend and not ledger.kind.can_be_accepted:
                return _skip(name_home(ledger.describe()), wrong)
            polled = counted(poll_accounts(pipeline, names, deadline=deadline, clock=clock), "task")
            if unfinished := unfinished_runs(context.instance, mount):  # it plans before each round
                run = unfinished[0]
                return _skip(f"run {run.run_id} is {run.status.value.lower()}; {polled} polled", wrong)
            due = what_is_due(pipeline, names) or unrecorded(context.instance, pipeline, mount)
        if not due:
            blocked = "" if ledger.may_spend else f"nothing is submitted: {ledger.describe()}"
            return _skip(f"nothing is due; {polled} polled", wrong, name_home(blocked))
        if not may_request(context.instance, mount, provider, now_s=time.time()):
            return _skip(f"another sensor has just requested a run; {polled} polled; due: {due}", wrong)
        return dg.RunRequest(tags={ASKED_BY_TAG: f"{provider}: {due}"[:200]})

    return build_sensor(
        mount,
        f"{provider.replace('-', '_')}_poll_sensor",
        tick,
        interval_s=10,
        requests_runs=True,
        description=f"Polls {provider} accounts, and requests one run of {mount.name(ADVANCE_JOB)} when something is "
        "due.",
    )


def _skip(*parts: str) -> dg.SkipReason:
    return dg.SkipReason("; ".join(filter(None, parts)))


def build_tables_sensor(mount: Mount) -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that publishes the tables after runs that an operator started; see
    `tables.table_condition`."""
    return dg.AutomationConditionSensorDefinition(
        mount.name("tables_automation_sensor"),
        target=dg.AssetSelection.assets(*(mount.asset(table.asset) for table in PUBLISHED)),
        default_status=mount.sensor_status(),
        minimum_interval_seconds=30,
    )
