"""report_job: writes the report about the published warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.report import EXTENSION_REPORT
from extend_pipeline.dagster_defs.mount import Mount

if TYPE_CHECKING:
    # what define_asset_job returns; it has no public name
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

REPORT_JOB: Final = "report_job"


def build_report_job(mount: Mount) -> UnresolvedAssetJobDefinition:
    """Return report_job for a mount."""
    return dg.define_asset_job(
        mount.name(REPORT_JOB),
        selection=[mount.asset(EXTENSION_REPORT)],
        description="Write the report about the warehouse file as it was published last. Publishes nothing.",
        executor_def=dg.in_process_executor,
    )
