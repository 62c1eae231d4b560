"""reconcile_job: the ledger against the providers' lists and bills."""

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
    """Compare every account that was ever claimed for with each book that its provider shows; then publish, and tell
    the checks anew."""
    with home.open() as pipeline:
        if wrong := mistakes(pipeline):
            lines = "\n".join(wrong)
            context.log.warning(f"no task is taken over until this is corrected:\n{lines}")
        for each in reconcile_everything(pipeline):
            tell(context.log, each)
        publish_last(pipeline)
        yield from evaluations(pipeline)
    yield dg.Output(None)


@dg.job(name="reconcile_job", tags=NO_RETRY)
def reconcile_job() -> None:
    """Hold the ledger against what the providers show, and take over what only they know."""
    reconcile_accounts()


def tell(log: dg.DagsterLogManager, each: Reconciled | StatementUnavailable) -> None:
    """One line a book, and one a disagreement."""
    if isinstance(each, StatementUnavailable):
        say = log.warning if each.failed else log.info
        say(f"{each.account}, {each.source}: not compared: {each.message}")
        return
    others = f", {others_text(each.others)}" if each.others else ""
    log.info(
        f"{each.account}, {each.source}: {counted(len(each.compared), 'task')} compared, "
        f"{len(each.disagreements)} disagree, {len(each.adopted)} taken over{others}"
    )
    for compared in each.disagreements:
        log.warning(
            f"{each.account}, {each.source}, task {compared.task_id}: {compared.verdict.value}: {compared.note}"
        )
