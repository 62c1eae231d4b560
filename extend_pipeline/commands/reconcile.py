"""`reconcile`: compare the ledger with the providers' lists, bills and invoices, and show the differences."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.base.units import from_micros
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, say
from extend_pipeline.commands.render.table import Column, print_table
from extend_pipeline.commands.render.text import plain
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.commands.shared.names import NAME, require_account
from extend_pipeline.commands.shared.options import decision_options
from extend_pipeline.engine.decisions.resolve import Declined, Resolved
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.engine.reconcile.adopt_task import adopt_task
from extend_pipeline.engine.reconcile.invoice.read import InvoiceProblems
from extend_pipeline.engine.reconcile.last_reads import others_text
from extend_pipeline.engine.reconcile.run import Reconciled
from extend_pipeline.engine.reconcile.run_all import reconcile_account, reconcile_everything, reconcile_invoice
from extend_pipeline.engine.reconcile.statements import StatementUnavailable
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict

WRONG_USE: Final = 2
MAX_SHOWN: Final = 50  # differences in the table; --json and the warehouse's table reconciliations have all


@click.command()
@click.argument("account", type=NAME, required=False)
@click.option(
    "--invoice",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A bill of ACCOUNT as CSV with the columns task_id and units or amount.",
)
@click.option("--no-adopt", is_flag=True, help="Only report tasks that the ledger doesn't know; adopt none.")
@click.option(
    "--accept",
    metavar="BOOK/TASK",
    help="Accept one difference of ACCOUNT, such as billing/8274. A charge that no bill shows is given back.",
)
@click.option(
    "--adopt",
    metavar="TASK",
    help="Adopt a task of ACCOUNT that the ledger doesn't know: it is ours, and is booked and fetched.",
)
@decision_options
@click.pass_context
def reconcile(
    ctx: click.Context,
    account: str | None,
    invoice: Path | None,
    no_adopt: bool,
    accept: str | None,
    adopt: str | None,
    why: str,
    who: str,
    as_json: bool,
) -> None:
    """Compare the ledger with the providers' lists, bills and invoices.

    Amounts are adjusted to what was billed. Tasks that only the provider knows are adopted, booked and fetched if they
    carry a key of ours; those that extend a film of ours without a key need a decision, and the rest is counted. Sends
    nothing that costs. Exit code 1 when there is a difference, or when a statement could not be read.
    """
    if account is None and any(option is not None for option in (invoice, accept, adopt)):
        raise click.UsageError(
            "say which account: reconcile ACCOUNT --invoice FILE, --accept BOOK/TASK or --adopt TASK"
        )
    if sum(option is not None for option in (invoice, accept, adopt)) > 1:
        raise click.UsageError("--invoice, --accept and --adopt are three things: compare first, then decide")
    with open_home(home_settings()) as pipeline:
        if account is not None:
            require_account(account, pipeline.accounts)
            if accept is not None:
                _accept(pipeline, account, accept, who=who, why=why)
            if adopt is not None:
                _adopt(pipeline, account, adopt, who=who, why=why)
            if accept is not None or adopt is not None:
                publish_last(pipeline)
                ctx.exit(print_mistakes(pipeline))
        results = _compare(pipeline, account, invoice, adopt=not no_adopt)
        if isinstance(results, InvoiceProblems):
            for problem in results.problems:
                click.echo(problem.text(), err=True)
            ctx.exit(WRONG_USE)
        publish_last(pipeline)
        code = print_mistakes(pipeline)
    if as_json:
        emit({"books": [_document(result) for result in results]})
    else:
        _print(results)
    differ = any(
        result.failed if isinstance(result, StatementUnavailable) else result.disagreements for result in results
    )
    ctx.exit(code or int(differ))


def _compare(
    pipeline: Pipeline, account: str | None, invoice: Path | None, *, adopt: bool
) -> list[Reconciled | StatementUnavailable] | InvoiceProblems:
    if account is None:
        return list(reconcile_everything(pipeline, adopt=adopt))
    if invoice is None:
        return list(reconcile_account(pipeline, account, adopt=adopt))
    result = reconcile_invoice(pipeline, account, invoice, adopt=adopt)
    return result if isinstance(result, InvoiceProblems) else [result]


def _accept(pipeline: Pipeline, account: str, difference: str, *, who: str, why: str) -> None:
    source, _, task_id = difference.partition("/")
    if not task_id:
        raise click.UsageError(f"{difference!r} is not BOOK/TASK, such as billing/827942411241803822")
    actor = f"{who} ({why})" if why else who
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        accepted = reconciliation.accept(tx, account=account, source=source, task_id=task_id, why=f"{who}: {why}")
    if not accepted:
        raise click.UsageError(
            f"account {account} has no open difference {difference}; run reconcile {account} to see them"
        )
    say(f"{difference} of account {account} is accepted, and is not reported again while the amounts stay the same")


def _adopt(pipeline: Pipeline, account: str, task_id: str, *, who: str, why: str) -> None:
    match adopt_task(pipeline, account, task_id, who=who, why=why):
        case Resolved(message):
            say(with_home_option(message))
        case Declined(message):
            raise click.ClickException(with_home_option(message))


def _print(results: Sequence[Reconciled | StatementUnavailable]) -> None:
    if not results:
        say("no account has an attempt yet: there is nothing to compare")
    columns = [Column("account"), Column("book"), Column("tasks", right=True, rank=1)]
    columns += [Column(kind.value.replace("_", " "), right=True, rank=rank) for kind, rank in _RANKS.items()]
    print_table(columns, [_row(result) for result in results if isinstance(result, Reconciled)])
    for result in results:
        account, source = result.account, result.source
        if isinstance(result, StatementUnavailable):
            say(f"not compared: {account}, {source}: {with_home_option(result.message)}")
            continue
        for note in result.notes:
            say(f"{account}, {source}: {note}")
        if result.others:
            say(f"{account}, {source}: {others_text(result.others)}")
        for item in result.disagreements[:MAX_SHOWN]:
            say(f"{item.verdict.value}: {account} {source}/{item.task_id}: {_amounts(item)}")
            say(f"    {with_home_option(item.note)}")
        if len(result.disagreements) > MAX_SHOWN:
            say(f"… and {len(result.disagreements) - MAX_SHOWN} more of {account}; see table reconciliations")
        if result.adjusted_micros:
            say(f"{account}: the ledger was adjusted by {plain(from_micros(result.adjusted_micros))} {result.unit}")
        if not result.complete:
            say(f"{account}: the {source} may be incomplete, so a task that it lacks may still exist")


_RANKS: Final = {
    ReconciliationVerdict.MATCHED: 0,
    ReconciliationVerdict.DIFFERENT_AMOUNT: 0,
    ReconciliationVerdict.LEDGER_ONLY: 0,
    ReconciliationVerdict.UPSTREAM_ONLY: 0,
    ReconciliationVerdict.OPEN: 2,
    ReconciliationVerdict.OTHER: 3,
}
"""The verdicts that are counted in a column each, with the column's rank."""


def _row(result: Reconciled) -> list[str]:
    counts = [sum(item.verdict is verdict for item in result.compared) for verdict in _RANKS]
    return [result.account, result.source, str(len(result.compared)), *map(str, counts)]


def _amounts(item: ReconciliationItem) -> str:
    ledger, provider = _units(item.ledger_micros) or "nothing", _units(item.upstream_micros) or "no amount"
    return f"ledger {ledger}, provider {provider} ({item.unit})"


def _document(result: Reconciled | StatementUnavailable) -> dict[str, Any]:
    if isinstance(result, StatementUnavailable):
        return {"account": result.account, "book": result.source, "read": False, "message": result.message}
    return {
        "account": result.account,
        "book": result.source,
        "read": True,
        "complete": result.complete,
        "others": result.others,
        "notes": list(result.notes),
        "adopted": list(result.adopted),
        "adjusted": {"unit": result.unit, "units": plain(from_micros(result.adjusted_micros))},
        "tasks": [
            {
                "task_id": item.task_id,
                "verdict": item.verdict.value,
                "attempt_id": item.attempt_id,
                "ledger_units": _units(item.ledger_micros),
                "upstream_units": _units(item.upstream_micros),
                "note": item.note,
            }
            for item in result.compared
        ],
    }


def _units(micros: int | None) -> str | None:
    return None if micros is None else plain(from_micros(micros))
