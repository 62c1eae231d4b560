"""partitions_job: brings the partitions in line with the catalogue where no sensor does, as from a shell."""

import dagster as dg
from pydantic import Field

from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.assets.partitioned import NO_RETRY
from extend_pipeline.dagster_defs.jobs.run_log import list_mistakes
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.partitions import PARTITIONS_JOB, bring_in_line
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.decisions.edits import confirm_withdrawn
from extend_pipeline.engine.guards.process import mistakes


class PartitionsConfig(dg.Config):
    """The configuration of one run of partitions_job."""

    remove_many: bool = Field(
        default=False,
        description="true: the videos that left the catalogue were meant to leave, and their partitions go, also if "
        "they are most of all.",
    )


def build_partitions_job(mount: Mount) -> dg.JobDefinition:
    """Return partitions_job for a mount."""

    @dg.op(name=mount.name("partitions"), tags=NO_RETRY, required_resource_keys={mount.home_key})
    def bring_partitions_in_line(context: dg.OpExecutionContext, config: PartitionsConfig) -> None:
        """Declare the catalogue in the ledger, and add and remove partitions. Raises Failure with every mistake in the
        files, after the partitions are in line with the last good catalogue."""
        _bring_in_line(context, config, mount)

    @dg.job(name=mount.name(PARTITIONS_JOB), tags=NO_RETRY, executor_def=dg.in_process_executor)
    def partitions_job() -> None:
        """Bring the partitions in line with the catalogue. Spends nothing."""
        bring_partitions_in_line.alias("partitions")()

    return partitions_job


def _bring_in_line(context: dg.OpExecutionContext, config: PartitionsConfig, mount: Mount) -> None:
    """Do the work of `bring_partitions_in_line`."""
    home = mount.home_of(context)
    if reason := home.why_not_set_up():
        raise dg.Failure(reason, allow_retries=False)
    with home.open() as pipeline:
        wrong = mistakes(pipeline)
        declare_catalogue(pipeline)
        if config.remove_many:
            confirm_withdrawn(pipeline, who=f"run {context.run_id}")
        now = bring_in_line(context.instance, pipeline, mount, afresh=True, remove_many=config.remove_many)
    context.log.info(f"{counted(now.videos or 0, 'video')} in the catalogue: {now.describe(mount)}")
    context.add_output_metadata(
        {
            "videos": now.videos or 0,
            "added": now.added,
            "removed": now.removed,
            "kept_in_flight": len(now.in_flight),
            "kept_of_many": now.held,
        }
    )
    if wrong:
        listed = pipeline.settings.with_home(list_mistakes(wrong))
        raise dg.Failure(listed, metadata={"mistakes": len(wrong)}, allow_retries=False)
