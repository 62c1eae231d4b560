"""extend_job: one run for any set of videos. A backfill in Dagster is one run for each unbroken range of partitions."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg

from extend_pipeline.base.names import normal_name
from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.config.digest import digest
from extend_pipeline.config.issues import Suggestions
from extend_pipeline.dagster_defs.assets.extend import extend
from extend_pipeline.dagster_defs.assets.materializations import PARTITIONED
from extend_pipeline.dagster_defs.assets.partitioned import MAX_SECONDS_FIELD, NO_RETRY
from extend_pipeline.dagster_defs.jobs.run_log import MAX_REPORTED
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.guards.process import mistakes_that_may_hide
from extend_pipeline.engine.home import Pipeline

EXTEND_JOB: Final = "extend_job"

EXTEND_TAG: Final = "extend_pipeline/extend"
"""The tag of every run of extend_job; deploy/dagster.yaml lets two of each value go on at a time."""

VIDEOS_TAG: Final = "extend_pipeline/videos"
"""The tag that says which videos a run is about: how many, and the first names."""

SET_TAG: Final = "extend_pipeline/video_set"
"""The tag that is equal for runs of the same videos in any order: a digest of all names."""

Event = dg.AssetMaterialization | dg.Output[None]


class VideoKeys(dg.Array):
    """Config type of a list of videos. An empty one is refused when the run is launched."""

    def __init__(self) -> None:
        super().__init__(str)

    def post_process(self, value: list[str]) -> list[str]:
        """Return the keys as they are stored, each once, sorted. Raises Failure if there is none."""
        if not value:
            raise dg.Failure("videos: name at least one, such as videos: [harbour-dawn]", allow_retries=False)
        return sorted({normal_name(key.strip()) for key in value})


_CONFIG: Final = {
    "videos": dg.Field(
        VideoKeys(),
        description="Keys of the videos, which are the partitions of completed_extensions, in any order: [a, b, c]. "
        "The run is refused before anything is sent if there is no such video.",
    ),
    "max_seconds": MAX_SECONDS_FIELD,
}


def build_extend_job(mount: Mount) -> dg.JobDefinition:
    """Return extend_job for a mount."""

    @dg.op(name=mount.name("extend"), config_schema=_CONFIG, tags=NO_RETRY, required_resource_keys={mount.home_key})
    def extend_chosen(context: dg.OpExecutionContext) -> Iterator[Event]:
        """Drive the videos until they have their target lengths, and record the materializations of their three
        partitions. Raises Failure naming unknown videos before anything is sent, and those that are missing at the
        end."""
        yield from _extend(context, mount)

    @dg.job(
        name=mount.name(EXTEND_JOB),
        tags={**NO_RETRY, EXTEND_TAG: mount.advance_tag},
        executor_def=dg.in_process_executor,
    )
    def extend_job() -> None:
        """Extend chosen videos in one run, adjacent partitions or not."""
        extend_chosen.alias("extend")()

    return extend_job


def _extend(context: dg.OpExecutionContext, mount: Mount) -> Iterator[Event]:
    """Do the work of `extend_chosen`."""
    keys: list[str] = context.op_config["videos"]
    context.instance.add_run_tags(context.run_id, video_tags(keys))
    yield from extend(context, mount, keys=keys, assets=PARTITIONED, refuse=_refuse)
    yield dg.Output(None)


def video_tags(keys: Sequence[str]) -> dict[str, str]:
    """Return the tags that tell the set of videos of a run in a bounded length."""
    return {VIDEOS_TAG: f"{counted(len(keys), 'video')}: {first_names(keys)}", SET_TAG: digest(sorted(keys))[:16]}


def _refuse(pipeline: Pipeline, unknown: Sequence[str]) -> None:
    """Raise Failure if there are unknown keys, with all of them and the names that are most similar."""
    if not unknown:
        return
    suggestions = Suggestions(pipeline.configuration.catalogue.videos, max_names=MAX_REPORTED)
    lines = [f"{key}: {suggestions.hint(key, 'no name is similar')}" for key in unknown[:MAX_REPORTED]]
    if len(unknown) > MAX_REPORTED:
        lines.append(f"… and {len(unknown) - MAX_REPORTED} more")
    lines += mistakes_that_may_hide(pipeline)
    head = f"the catalogue has no such videos ({len(unknown)}); nothing was started:"
    metadata: dict[str, Any] = {"unknown": len(unknown)}
    raise dg.Failure("\n".join([head, *lines]), metadata=metadata, allow_retries=False)
