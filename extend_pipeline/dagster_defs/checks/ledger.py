"""Asset checks on the published tables and the ledger, and how all asset checks are evaluated."""

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final

import dagster as dg

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import first_names
from extend_pipeline.dagster_defs.assets.tables import COSTS, DURATIONS, LINEAGE
from extend_pipeline.dagster_defs.checks.films import durations_grew, seams_hold
from extend_pipeline.dagster_defs.checks.needs import accounts_run, nobody_is_needed, report_needs
from extend_pipeline.dagster_defs.checks.outcome import outcome, proof_outcome, with_home
from extend_pipeline.dagster_defs.checks.provider import (
    books_agree,
    nothing_ends_soon,
    nothing_in_doubt,
)
from extend_pipeline.dagster_defs.checks.store import films_are_there
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.process import WITHDRAWN_TODO, mistakes, withdrawn_at_once
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.proof import prove
from extend_pipeline.engine.status import accounts_now
from extend_pipeline.ledger.projection.invariants import prove_invariants
from extend_pipeline.warehouse.errors import OpenElsewhereError, WarehouseError
from extend_pipeline.warehouse.verify import compare

NEARLY: Final = 0.9  # of a budget: time to raise it before work stops


def charges_reconcile(pipeline: Pipeline) -> dg.AssetCheckResult:
    """The warehouse's sums equal the ledger's at the event that the file names. The ledger's are read whole once a day,
    and else those of the last time with the charges since."""
    target = pipeline.settings.warehouse_path
    return proof_outcome(
        prove(pipeline, "charges", lambda since: compare(pipeline.ledger, target, since=since)),
        "charges",
        "remove warehouse.work.duckdb beside the file and publish again: it is made anew from the ledger",
    )


def invariants_hold(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Every invariant of the ledger holds: one live attempt, charges that match states, evidence for stored files. All
    attempts are checked once a day, and else those of the videos that changed since they held; `doctor` checks all."""
    return proof_outcome(
        prove(pipeline, "invariants", lambda since: prove_invariants(pipeline.ledger, since=since)),
        "attempts",
        "extend-pipeline pause, and read the events of that attempt",
    )


def budgets_hold(pipeline: Pipeline) -> dg.AssetCheckResult:
    """No account is over its budget, and none has used nearly all of it."""
    findings, over = [], False
    for account in accounts_now(pipeline):
        for what, used, cap in (
            ("in all", account.committed, account.total),
            ("today", account.committed_today, account.per_day),
        ):
            if cap is not None and float(used) >= float(cap) * NEARLY:
                over = over or used > cap
                findings.append(f"account {account.account}: {used} of {cap} {account.unit} {what}")
    severity = dg.AssetCheckSeverity.ERROR if over else dg.AssetCheckSeverity.WARN
    return outcome(findings, "raise the budget in accounts.yaml, or let the work wait", severity)


def configuration_is_valid(pipeline: Pipeline) -> dg.AssetCheckResult:
    """The catalogue and the accounts have no mistake. Until a mistake is corrected nothing is submitted; paid tasks are
    polled and fetched with the valid entries and the last valid accounts. It is a warning that so many unfinished
    videos left the catalogue at once that a wrong file may have been saved."""
    wrong, withdrawn = mistakes(pipeline), withdrawn_at_once(pipeline)
    if wrong or withdrawn is None:
        return outcome(wrong, "correct the file; extend-pipeline status names every mistake")
    finding = f"{first_names(withdrawn.videos)}: {withdrawn.message}"
    return outcome([finding], WITHDRAWN_TODO, dg.AssetCheckSeverity.WARN)


def ledger_is_known(pipeline: Pipeline) -> dg.AssetCheckResult:
    """The ledger is the one that the home has worked with; another ledger, or an older state of it, would pay again."""
    ledger = look(pipeline.settings, pipeline.ledger)
    return outcome([] if ledger.may_spend else [ledger.message], ledger.todo)


LEDGER_IS_KNOWN: Final = dg.AssetCheckKey(COSTS.asset, "ledger_is_known")
NOTHING_IN_DOUBT: Final = dg.AssetCheckKey(COSTS.asset, "nothing_in_doubt")
NOTHING_ENDS_SOON: Final = dg.AssetCheckKey(LINEAGE.asset, "nothing_ends_soon")
ACCOUNTS_RUN: Final = dg.AssetCheckKey(COSTS.asset, "accounts_run")
NOBODY_IS_NEEDED: Final = dg.AssetCheckKey(LINEAGE.asset, "nobody_is_needed")
CONFIGURATION_IS_VALID: Final = dg.AssetCheckKey(LINEAGE.asset, "configuration_is_sound")

CHECKS: Final[Mapping[dg.AssetCheckKey, Callable[[Pipeline], dg.AssetCheckResult]]] = {
    dg.AssetCheckKey(COSTS.asset, "charges_reconcile"): charges_reconcile,
    dg.AssetCheckKey(COSTS.asset, "budgets_hold"): budgets_hold,
    NOTHING_IN_DOUBT: nothing_in_doubt,
    ACCOUNTS_RUN: accounts_run,
    LEDGER_IS_KNOWN: ledger_is_known,
    dg.AssetCheckKey(COSTS.asset, "books_agree"): books_agree,
    dg.AssetCheckKey(LINEAGE.asset, "invariants_hold"): invariants_hold,
    NOBODY_IS_NEEDED: nobody_is_needed,
    NOTHING_ENDS_SOON: nothing_ends_soon,
    CONFIGURATION_IS_VALID: configuration_is_valid,
    dg.AssetCheckKey(DURATIONS.asset, "films_are_there"): films_are_there,
    dg.AssetCheckKey(DURATIONS.asset, "durations_grew"): durations_grew,
    dg.AssetCheckKey(DURATIONS.asset, "seams_hold"): seams_hold,
}


def evaluate_check(
    pipeline: Pipeline, mount: Mount, key: dg.AssetCheckKey, result: dg.AssetCheckResult | None = None
) -> dg.AssetCheckResult:
    """Run one check unless its result is given, and show its times in the home's zone and its commands with the home.
    If the published file can't be read, or there is none yet, that is its finding."""
    try:
        result = result or CHECKS[key](pipeline)
    except OpenElsewhereError as error:
        result = outcome([error.message], error.todo, dg.AssetCheckSeverity.WARN)
    except WarehouseError as error:
        result = outcome([str(error)], "materialise the tables", dg.AssetCheckSeverity.WARN)
    result = with_home(result, pipeline.settings)
    description = in_zone(result.description or "", pipeline.configuration.timezone)
    return result._replace(asset_key=mount.asset(key.asset_key), check_name=key.name, description=description)


def build_check_tables(mount: Mount) -> dg.AssetChecksDefinition:
    """Return the op of all checks, for a mount."""

    @dg.multi_asset_check(
        name=mount.name("check_tables"),
        specs=[
            dg.AssetCheckSpec(k.name, asset=mount.asset(k.asset_key), description=CHECKS[k].__doc__) for k in CHECKS
        ],
        can_subset=True,
        required_resource_keys={mount.home_key},
    )
    def check_tables(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        """Run the chosen checks in one step."""
        needs = None
        with mount.home_of(context).open() as pipeline:
            for key in sorted(CHECKS, key=str):
                if mount.check(key) in context.selected_asset_check_keys:
                    result = evaluate_check(pipeline, mount, key)
                    needs = result if key == NOBODY_IS_NEEDED else needs
                    yield result
        if needs is not None:
            report_needs(context.op_execution_context, needs)

    return check_tables


def evaluations(pipeline: Pipeline, mount: Mount) -> Generator[dg.AssetCheckEvaluation, None, dg.AssetCheckEvaluation]:
    """Yield the evaluation of every check, for a run of another job. Return that of `nobody_is_needed`, which the run
    reports at its end."""
    results = {}
    for key in CHECKS:
        results[key] = evaluation(pipeline, mount, key)
        yield results[key]
    return results[NOBODY_IS_NEEDED]


def evaluation(
    pipeline: Pipeline, mount: Mount, key: dg.AssetCheckKey, result: dg.AssetCheckResult | None = None
) -> dg.AssetCheckEvaluation:
    """Return the evaluation of one check (its key as in `CHECKS`), for a run of another job or a sensor. A `result`
    that is given is not determined again."""
    return dg.AssetCheckEvaluation(**evaluate_check(pipeline, mount, key, result)._asdict())
