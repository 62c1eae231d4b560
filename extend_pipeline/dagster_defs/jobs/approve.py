"""approve_job: an operator's decision, in Dagster's UI, about edits that would pay again."""

from typing import Literal

import dagster as dg
from pydantic import Field

from extend_pipeline.base.names import normal_name
from extend_pipeline.dagster_defs.assets.partitioned import NO_RETRY
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.decisions.edits import decide_edits
from extend_pipeline.engine.guards.process import mistakes_that_may_hide


class ApproveConfig(dg.Config):
    """The configuration of one run of approve_job."""

    decision: Literal["keep", "pay"] = Field(
        description="keep: paid hops stay, and the edit applies from the next hop on. pay: buy them anew."
    )
    videos: list[str] = Field(default=[], description="Keys of the videos.")
    everything: bool = Field(default=False, description="true: decide about every waiting edit, and name no video.")


def build_approve_job(mount: Mount) -> dg.JobDefinition:
    """Return approve_job for a mount."""

    @dg.op(name=mount.name("approve"), tags=NO_RETRY, required_resource_keys={mount.home_key})
    def approve_edits(context: dg.OpExecutionContext, config: ApproveConfig) -> None:
        """Record the decision; advance_job applies it. Raises Failure for a key that the catalogue lacks."""
        _approve(context, config, mount.home_of(context))

    @dg.job(name=mount.name("approve_job"), tags=NO_RETRY, executor_def=dg.in_process_executor)
    def approve_job() -> None:
        """Decide about edits that would pay again for paid hops."""
        approve_edits.alias("approve")()

    return approve_job


def _approve(context: dg.OpExecutionContext, config: ApproveConfig, home: HomeResource) -> None:
    """Do the work of `approve_edits`."""
    if config.everything == bool(config.videos):
        raise dg.Failure("name videos, or set everything: true, and not both", allow_retries=False)
    videos = [normal_name(key) for key in config.videos]
    with home.open() as pipeline:
        unknown = [key for key in videos if key not in pipeline.configuration.catalogue.videos]
        if unknown:
            lines = [f"the catalogue has no video {', '.join(unknown)}", *mistakes_that_may_hide(pipeline)]
            raise dg.Failure("\n".join(lines), allow_retries=False)
        declare_catalogue(pipeline)
        chosen = None if config.everything else videos
        decided = decide_edits(pipeline, decision=config.decision, videos=chosen, who=f"Dagster run {context.run_id}")
    names = ", ".join(edit.video_key for edit in decided)
    context.log.info(f"{config.decision}: {names or 'no edit waits for a decision'}")
