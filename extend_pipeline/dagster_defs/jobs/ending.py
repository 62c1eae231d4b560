"""What a run does at its end for the whole home, after its own work."""

from collections.abc import Iterator

import dagster as dg

from extend_pipeline.dagster_defs.assets.tables import publish_and_record
from extend_pipeline.dagster_defs.checks.ledger import evaluations
from extend_pipeline.dagster_defs.checks.needs import report_needs
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.home import Pipeline

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[None]


def publish_and_check(
    context: dg.OpExecutionContext, pipeline: Pipeline, mount: Mount, *, always: bool = False
) -> Iterator[Event]:
    """Publish and record the tables (`always`: also those that Dagster has already), evaluate the checks, and say what
    waits for a person. Raises Failure last where the tables could not be published, because a full disk must not hide
    what else there is to know."""
    error = yield from publish_and_record(context, pipeline, mount, always=always)
    needs = yield from evaluations(pipeline, mount)
    if error is None:
        yield dg.Output(None)
    report_needs(context, needs)
    if error is not None:
        raise dg.Failure(pipeline.settings.with_home(str(error))) from None
