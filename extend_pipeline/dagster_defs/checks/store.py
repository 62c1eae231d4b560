"""Evaluate the asset check on the media store."""

import dagster as dg

from extend_pipeline.dagster_defs.checks.outcome import outcome
from extend_pipeline.engine.guards.process import DOUBT_TODO
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.missing import store_now


def films_are_there(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Every film that the ledger knows is in the media store. A missing film that can be fetched again is a warning; a
    lost film, or a missing store, is an error."""
    now = store_now(pipeline)
    if now.doubt:
        return outcome([f"{pipeline.store.place}: {now.doubt}; nothing is submitted"], DOUBT_TODO)
    any_lost = any(missing.lost for missing in now.missing)
    todo = (
        "extend-pipeline advance fetches every file that its provider still has; for the others: "
        "extend-pipeline media forget VIDEO/HOP"
    )
    severity = dg.AssetCheckSeverity.ERROR if any_lost else dg.AssetCheckSeverity.WARN
    more = {"films": now.expected, "unknown_films": now.unknown}
    return outcome([missing.describe() for missing in now.missing], todo, severity, more=more)
