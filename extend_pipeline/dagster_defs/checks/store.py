"""The asset check on the media store: every film that the ledger knows is there."""

import dagster as dg

from extend_pipeline.dagster_defs.checks.outcome import CheckOutcome
from extend_pipeline.engine.guards.process import DOUBT_TODO
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.missing import store_now


def films_are_there(pipeline: Pipeline) -> CheckOutcome:
    """Every film that the ledger knows is in the media store. A film that is gone and can be fetched again is a
    warning, one that is lost an error, and so is a store that is not there."""
    now = store_now(pipeline)
    if now.doubt:
        return CheckOutcome([f"{pipeline.store.place}: {now.doubt}; nothing is submitted"], DOUBT_TODO)
    grave = any(missing.lost for missing in now.missing)
    todo = "extend-pipeline advance fetches what is to be had; for the rest: extend-pipeline media forget VIDEO/HOP"
    severity = dg.AssetCheckSeverity.ERROR if grave else dg.AssetCheckSeverity.WARN
    more = {"films": now.expected, "unknown_films": now.unknown}
    return CheckOutcome([missing.describe() for missing in now.missing], todo, severity, more=more)
