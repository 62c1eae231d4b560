"""Evaluate the asset check on the media store."""

import dagster as dg

from extend_pipeline.dagster_defs.checks.outcome import extent, outcome
from extend_pipeline.engine.guards.process import DOUBT_TODO
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.proof import WHOLE_EVERY_MS
from extend_pipeline.engine.store.missing import AT_A_GLANCE, store_now


def films_are_there(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Every film that the ledger knows is in the media store. A missing film that can be fetched again is a warning; a
    lost film, or a missing store, is an error. The rounds compare all films, a part in each, and the check reports what
    they have found; it compares the first 10,000 itself, or all if the rounds have not done so for a day."""
    mark = pipeline.store.mark()
    compared_ms = mark.at_ms if mark is not None and 0 <= pipeline.now_ms() - mark.at_ms < WHOLE_EVERY_MS else None
    now = store_now(pipeline, limit=None if compared_ms is None else AT_A_GLANCE)
    if now.doubt:
        return outcome([f"{pipeline.store.place}: {now.doubt}; nothing is submitted"], DOUBT_TODO)
    any_lost = any(missing.lost for missing in now.missing)
    todo = (
        "extend-pipeline advance fetches every file that its provider still has; for the others: "
        "extend-pipeline media forget VIDEO/HOP"
    )
    severity = dg.AssetCheckSeverity.ERROR if any_lost else dg.AssetCheckSeverity.WARN
    compared = "everything" if compared_ms is None else f"at most {AT_A_GLANCE} films"
    more = {"films": now.expected, "unknown_films": now.unknown, **extent(compared, compared_ms)}
    return outcome([missing.describe() for missing in now.missing], todo, severity, more=more)
