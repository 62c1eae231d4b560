"""reconcile_job: compares the ledger with the providers' lists and bills."""

from collections.abc import Iterator

import dagster as dg

from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.assets.partitioned import NO_RETRY
from extend_pipeline.dagster_defs.checks.ledger import evaluations
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.engine.reconcile.last_reads import others_text
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_everything
from extend_pipeline.engine.reconcile.statements import StatementUnavailable


@dg.op(name="reconcile", tags=NO_RETRY)
def reconcile_accounts(
    context: dg.OpExecutionContext, home: HomeResource
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Compare every account with a claim with each statement that its provider shows; then publish, and evaluate the
    checks."""
    with home.open() as pipeline:
        if wrong := mistakes(pipeline):
            lines = "\n".join(wrong)
            context.log.warning(f"no task is adopted until this is corrected:\n{lines}")
        for result in reconcile_everything(pipeline):
            log_statement(context.log, result)
        publish_last(pipeline)
        yield from evaluations(pipeline)
    yield dg.Output(None)


@dg.job(name="reconcile_job", tags=NO_RETRY)
def reconcile_job() -> None:
    """Compare the ledger with the providers' statements, and adopt unmatched tasks."""
    reconcile_accounts()


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
