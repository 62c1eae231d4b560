"""Asset checks on the published tables: do the books agree, did films grow as asked, does anything need a person?"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.assets.tables import COSTS, DURATIONS, LINEAGE
from extend_pipeline.dagster_defs.checks.outcome import CheckOutcome, shown_in
from extend_pipeline.dagster_defs.checks.provider import books_agree, nothing_ends_soon, nothing_in_doubt
from extend_pipeline.dagster_defs.checks.store import films_are_there
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.process import mistakes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.status import accounts_now
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.media.seam import PREFIX_DB
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.warehouse.errors import NotPublishedError
from extend_pipeline.warehouse.read import query
from extend_pipeline.warehouse.verify import compare

SLACK_MS: Final = 500  # encoders end a film up to some frames early or late
NEARLY: Final = 0.9  # of a budget: the time to raise it, before work stops


def charges_reconcile(pipeline: Pipeline) -> CheckOutcome:
    """The warehouse's sums equal the ledger's at the event that the file names."""
    return CheckOutcome(
        compare(pipeline.ledger, pipeline.settings.warehouse_path),
        "remove warehouse.work.duckdb beside the file and publish again: it is made anew from the ledger",
    )


def invariants_hold(pipeline: Pipeline) -> CheckOutcome:
    """Every promise of the ledger holds: one live attempt, charges that match states, evidence for what is stored."""
    return CheckOutcome(
        check_invariants(pipeline.ledger), "extend-pipeline pause, and look at the events of that attempt"
    )


def budgets_hold(pipeline: Pipeline) -> CheckOutcome:
    """No account is over its budget, and none has used nearly all of it."""
    found, over = [], False
    for account in accounts_now(pipeline):
        for what, used, cap in (
            ("in all", account.committed, account.total),
            ("today", account.committed_today, account.per_day),
        ):
            if cap is not None and float(used) >= float(cap) * NEARLY:
                over = over or used > cap
                found.append(f"account {account.account}: {used} of {cap} {account.unit} {what}")
    severity = dg.AssetCheckSeverity.ERROR if over else dg.AssetCheckSeverity.WARN
    return CheckOutcome(found, "raise the budget in accounts.yaml, or let the work wait", severity)


def _as_promised(added_s: Decimal | None, provider: str) -> bool:
    least_ms, most_ms = spec_of(provider).added_ms(None)
    return added_s is not None and least_ms - SLACK_MS <= added_s * 1000 <= most_ms + SLACK_MS


# what was taken over from the provider's books is not what anybody here asked for
_MADE: Final = """
    SELECT video_key, hop, added_duration_s, provider FROM completed_extensions
    WHERE NOT starts_with(video_key, 'orphan:') ORDER BY ALL
"""


def durations_grew(pipeline: Pipeline) -> CheckOutcome:
    """Every extension added what the provider promises, and complete videos are as long as was asked."""
    target = pipeline.settings.warehouse_path
    made = query(target, _MADE)
    short = query(
        target,
        "SELECT video_key, current_duration_s, target_s FROM source_videos"
        " WHERE state = 'complete' AND current_duration_s + 0.1 < target_s ORDER BY video_key",
    )
    odd = [row for row in made.rows if not _as_promised(row[2], row[3])]
    grown = [f"{key}/{hop}: added {'an unknown length' if s is None else f'{s} s'}" for key, hop, s, _ in odd]
    ended = [f"{key}: complete at {now} s, {asked} s were asked for" for key, now, asked in short.rows]
    return CheckOutcome(
        grown + ended,
        "look at the film; if the provider sent something else than was paid for, ask it for the units back",
        dg.AssetCheckSeverity.WARN,
    )


def seams_hold(pipeline: Pipeline) -> CheckOutcome:
    """Full films begin with their parent, by their pictures. What could not be compared is left out."""
    broken = query(
        pipeline.settings.warehouse_path,
        "SELECT video_key, hop, seam_psnr_db FROM completed_extensions WHERE output_kind = 'full'"
        " AND seam_psnr_db IS NOT NULL AND (NOT parent_is_prefix OR seam_psnr_db < ?) ORDER BY video_key, hop",
        [PREFIX_DB],
    )
    return CheckOutcome(
        [f"{key}/{hop}: {psnr} dB to its parent, {PREFIX_DB:g} are expected" for key, hop, psnr in broken.rows],
        "look at the poster and the film: the provider may have changed the parent's pictures",
        dg.AssetCheckSeverity.WARN,
    )


def configuration_is_sound(pipeline: Pipeline) -> CheckOutcome:
    """The catalogue and the accounts have no mistake. With one, what is paid for is looked after by what is sound and
    by the last accounts that were good, and nothing is submitted."""
    return CheckOutcome(mistakes(pipeline), "correct the file; extend-pipeline status names every mistake")


def ledger_is_known(pipeline: Pipeline) -> CheckOutcome:
    """The ledger is the one that the home has worked with; another one, or an older state, would pay again."""
    found = look(pipeline.settings, pipeline.ledger)
    return CheckOutcome([] if found.may_spend else [found.message], found.todo)


LEDGER_IS_KNOWN: Final = dg.AssetCheckKey(COSTS.asset, "ledger_is_known")
NOTHING_IN_DOUBT: Final = dg.AssetCheckKey(COSTS.asset, "nothing_in_doubt")
NOTHING_ENDS_SOON: Final = dg.AssetCheckKey(LINEAGE.asset, "nothing_ends_soon")
CONFIGURATION_IS_SOUND: Final = dg.AssetCheckKey(LINEAGE.asset, "configuration_is_sound")

CHECKS: Final[Mapping[dg.AssetCheckKey, Callable[[Pipeline], CheckOutcome]]] = {
    dg.AssetCheckKey(COSTS.asset, "charges_reconcile"): charges_reconcile,
    dg.AssetCheckKey(COSTS.asset, "budgets_hold"): budgets_hold,
    NOTHING_IN_DOUBT: nothing_in_doubt,
    LEDGER_IS_KNOWN: ledger_is_known,
    dg.AssetCheckKey(COSTS.asset, "books_agree"): books_agree,
    dg.AssetCheckKey(LINEAGE.asset, "invariants_hold"): invariants_hold,
    NOTHING_ENDS_SOON: nothing_ends_soon,
    CONFIGURATION_IS_SOUND: configuration_is_sound,
    dg.AssetCheckKey(DURATIONS.asset, "films_are_there"): films_are_there,
    dg.AssetCheckKey(DURATIONS.asset, "durations_grew"): durations_grew,
    dg.AssetCheckKey(DURATIONS.asset, "seams_hold"): seams_hold,
}


def evaluate_check(pipeline: Pipeline, key: dg.AssetCheckKey) -> CheckOutcome:
    """Run one check. Where nothing has been published yet, that is what it finds."""
    try:
        return shown_in(pipeline.configuration.timezone, CHECKS[key](pipeline))
    except NotPublishedError as error:
        return CheckOutcome([str(error)], "materialise the tables", dg.AssetCheckSeverity.WARN)


@dg.multi_asset_check(
    name="check_tables",
    specs=[dg.AssetCheckSpec(k.name, asset=k.asset_key, description=CHECKS[k].__doc__) for k in CHECKS],
    can_subset=True,
)
def check_tables(context: dg.AssetCheckExecutionContext, home: HomeResource) -> Iterator[dg.AssetCheckResult]:
    """Run the chosen checks in one step."""
    with home.open() as pipeline:
        for key in sorted(context.selected_asset_check_keys, key=str):
            told = evaluate_check(pipeline, key)
            yield dg.AssetCheckResult(
                passed=told.passed,
                asset_key=key.asset_key,
                check_name=key.name,
                severity=told.severity,
                description=told.description,
                metadata=told.metadata,
            )


def evaluations(pipeline: Pipeline) -> Iterator[dg.AssetCheckEvaluation]:
    """All checks, as a run of another job logs them."""
    for key in CHECKS:
        yield evaluation(pipeline, key)


def evaluation(pipeline: Pipeline, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation:
    """One check, as something else than its own run tells it."""
    told = evaluate_check(pipeline, key)
    return dg.AssetCheckEvaluation(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=told.passed,
        severity=told.severity,
        description=told.description,
        metadata=told.metadata,
    )
