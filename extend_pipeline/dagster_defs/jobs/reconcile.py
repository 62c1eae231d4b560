"""reconcile_job: compares the ledger with the providers' lists and bills."""

from collections.abc import Iterator
from typing import Final

import dagster as dg

from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.assets.partitioned import NO_RETRY
from extend_pipeline.dagster_defs.jobs.ending import Event, publish_and_check
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.reconcile.last_reads import others_text
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_everything
from extend_pipeline.engine.reconcile.statements import StatementUnavailable

RECONCILE_JOB: Final = "reconcile_job"


def build_reconcile_job(mount: Mount) -> dg.JobDefinition:
    """Return reconcile_job for a mount."""

    @dg.op(name=mount.name("reconcile"), tags=NO_RETRY, required_resource_keys={mount.home_key})
    def reconcile_accounts(context: dg.OpExecutionContext) -> Iterator[Event]:
        """Compare every account with a claim with each statement that its provider shows; then publish and record the
        tables, evaluate the checks, and say what waits for a person."""
        yield from _reconcile(context, mount)

    @dg.job(name=mount.name(RECONCILE_JOB), tags=NO_RETRY, executor_def=dg.in_process_executor)
    def reconcile_job() -> None:
        """Compare the ledger with the providers' statements, and adopt unmatched tasks."""
        reconcile_accounts.alias("reconcile")()

    return reconcile_job


def _reconcile(context: dg.OpExecutionContext, mount: Mount) -> Iterator[Event]:
    """Do the work of `reconcile_accounts`."""
    with mount.home_of(context).open() as pipeline:
        if wrong := mistakes(pipeline):
            lines = "\n".join(wrong)
            context.log.warning(f"no task is adopted until this is corrected:\n{lines}")
        for result in reconcile_everything(pipeline):
            log_statement(context.log, result)
        # always, so that tables with a freshness policy stay fresh where nothing happens but this job
        yield from publish_and_check(context, pipeline, mount, always=True)


def log_statement(log: dg.DagsterLogManager, result: Reconciled | StatementUnavailable) -> None:
    """Log one line for the statement, and one for each disagreement."""
    if isinstance(result, StatementUnavailable):
        write = log.warning if result.failed else log.info
        write(f"{result.account}, {result.source}: not compared: {result.message}")
        return
    others = f", {others_text(result.others)}" if result.others else ""
    log.info(
        f"{result.account}, {result.source}: {counted(len(result.compared), 'task')} compared, "
        f"{len(result.disagreements)} disagree, {len(result.adopted)} adopted{others}"
    )
    for item in result.disagreements:
        log.warning(f"{result.account}, {result.source}, task {item.task_id}: {item.verdict.value}: {item.note}")
