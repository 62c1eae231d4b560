"""Build a sensor of a mount from the function of its ticks."""

from collections.abc import Callable
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import HomeResource

Outcome = dg.SensorResult | dg.RunRequest | dg.SkipReason
Tick = Callable[[dg.SensorEvaluationContext, HomeResource, Mount], Outcome]

NOTHING: Final = "nothing"
"""The cursor of a sensor that has reported what there was, and nothing is left. It is not empty, because Dagster keeps
the cursor before instead of an empty one, so that each later tick would report the change again."""


def build_sensor(
    mount: Mount, name: str, tick: Tick, *, interval_s: int, description: str, requests_runs: bool = False
) -> dg.SensorDefinition:
    """Return the sensor of a mount with a name; `requests_runs` lets it request runs of advance_job. While the home
    has neither accounts nor a ledger, it only says so."""

    # Dagster gives a direct call the resources by key, beside the context
    def evaluate(context: dg.SensorEvaluationContext, **_resources: object) -> Outcome:
        home = mount.home_of(context)
        if reason := home.why_not_set_up():
            return dg.SkipReason(reason)
        return tick(context, home, mount)

    return dg.SensorDefinition(
        name=mount.name(name),
        evaluation_fn=evaluate,
        # by name, because with the job itself Dagster 1.13 warns of a missing parameter
        job_name=mount.name(ADVANCE_JOB) if requests_runs else None,
        minimum_interval_seconds=interval_s,
        default_status=mount.sensor_status(),
        description=description,
        required_resource_keys={mount.home_key},
    )
