"""`reconcile`: holds the ledger against the providers' lists, bills and invoices, and says what doesn't agree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.base.units import from_micros
from extend_pipeline.commands.controls import who_option, why_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.table import Column, print_table
from extend_pipeline.commands.render.text import plain, with_home_option
from extend_pipeline.commands.shared.home import print_mistakes, settings_of
from extend_pipeline.commands.shared.names import NAME
from extend_pipeline.config.issues import did_you_mean
from extend_pipeline.engine.doubt.resolve import Declined, Resolved
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
@click.option("--no-adopt", is_flag=True, help="Only tell of tasks that the ledger doesn't know; take none over.")
@click.option(
    "--accept",
    metavar="BOOK/TASK",
    help="Let one difference of ACCOUNT be, such as billing/8274. A charge that no bill shows is given back.",
)
@click.option(
    "--adopt",
    metavar="TASK",
    help="Take over a task of ACCOUNT that the ledger doesn't know: it is ours, is booked and fetched.",
)
@why_option
@who_option
@json_option
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

    Amounts are brought to what was billed; tasks that only the provider knows and that carry a key of ours are taken
    over, booked and fetched; what extends a film of ours without one is a question, the rest is counted. Sends nothing
    that costs. Exit code 1 when something doesn't agree, or a book could not be read.
    """
    home: Path | None = ctx.obj
    if account is None and any(option is not None for option in (invoice, accept, adopt)):
        raise click.UsageError(
            "say which account: reconcile ACCOUNT --invoice FILE, --accept BOOK/TASK or --adopt TASK"
        )
    if sum(option is not None for option in (invoice, accept, adopt)) > 1:
        raise click.UsageError("--invoice, --accept and --adopt are three things: compare first, then decide")
    with open_home(settings_of(home)) as pipeline:
        if account is not None and account not in pipeline.accounts:
            hint = did_you_mean(account, pipeline.accounts, label="Accounts")
            raise click.UsageError(f"accounts.yaml has no account {account!r}. {hint}")
        if accept is not None:
            assert account is not None
            _accept(pipeline, account, accept, who=who, why=why)
            publish_last(pipeline)
            ctx.exit(print_mistakes(pipeline))
        if adopt is not None:
            assert account is not None
            _adopt(pipeline, account, adopt, who=who, why=why, home=home)
            publish_last(pipeline)
            ctx.exit(print_mistakes(pipeline))
        found = _compare(pipeline, account, invoice, adopt=not no_adopt)
        if isinstance(found, InvoiceProblems):
            for problem in found.problems:
                click.echo(problem.text(), err=True)
            ctx.exit(WRONG_USE)
        publish_last(pipeline)
        code = print_mistakes(pipeline)
    if as_json:
        emit({"books": [_document(each) for each in found]})
    else:
        _print(found, home)
    if code:
        ctx.exit(code)
    disagree = any(each.failed if isinstance(each, StatementUnavailable) else each.disagreements for each in found)
    ctx.exit(1 if disagree else 0)


def _compare(
    pipeline: Pipeline, account: str | None, invoice: Path | None, *, adopt: bool
) -> list[Reconciled | StatementUnavailable] | InvoiceProblems:
    if account is None:
        return list(reconcile_everything(pipeline, adopt=adopt))
    if invoice is None:
        return list(reconcile_account(pipeline, account, adopt=adopt))
    compared = reconcile_invoice(pipeline, account, invoice, adopt=adopt)
    return compared if isinstance(compared, InvoiceProblems) else [compared]


def _accept(pipeline: Pipeline, account: str, what: str, *, who: str, why: str) -> None:
    book, slash, task_id = what.partition("/")
    if not slash or not task_id:
        raise click.UsageError(f"{what!r} is not BOOK/TASK, such as billing/827942411241803822")
    actor = f"{who} ({why})" if why else who
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        done = reconciliation.accept(tx, account=account, source=book, task_id=task_id, why=f"{who}: {why}")
    if not done:
        raise click.UsageError(f"account {account} has no open difference {what}; run reconcile {account} to see them")
    say(f"{what} of account {account} is accepted, and is not told again while the amounts stay")


def _adopt(pipeline: Pipeline, account: str, task_id: str, *, who: str, why: str, home: Path | None) -> None:
    match adopt_task(pipeline, account, task_id, who=who, why=why):
        case Resolved(message):
            say(with_home_option(message, home))
        case Declined(message):
            raise click.ClickException(with_home_option(message, home))


def _print(found: Sequence[Reconciled | StatementUnavailable], home: Path | None) -> None:
    if not found:
        say("no account was ever claimed for: there is nothing to compare")
    columns = (Column("account"), Column("book"), Column("tasks", right=True, rank=1), *_verdict_columns())
    print_table(columns, [_row(each) for each in found if isinstance(each, Reconciled)])
    for each in found:
        if isinstance(each, StatementUnavailable):
            say(f"not compared: {each.account}, {each.source}: {with_home_option(each.message, home)}")
            continue
        for note in each.notes:
            say(f"{each.account}, {each.source}: {note}")
        if each.others:
            say(f"{each.account}, {each.source}: {others_text(each.others)}")
        for compared in each.disagreements[:MAX_SHOWN]:
            say(f"{compared.verdict.value}: {each.account} {each.source}/{compared.task_id}: {_amounts(compared)}")
            say(f"    {with_home_option(compared.note, home)}")
        if len(each.disagreements) > MAX_SHOWN:
            say(f"… and {len(each.disagreements) - MAX_SHOWN} more of {each.account}; see table reconciliations")
        if each.adjusted_micros:
            say(f"{each.account}: the books were changed by {plain(from_micros(each.adjusted_micros))} {each.unit}")
        if not each.complete:
            say(f"{each.account}: the {each.source} is not known to be whole, so what it lacks means nothing")


_SHOWN: Final = (
    ReconciliationVerdict.MATCHED,
    ReconciliationVerdict.DIFFERENT_AMOUNT,
    ReconciliationVerdict.LEDGER_ONLY,
    ReconciliationVerdict.UPSTREAM_ONLY,
    ReconciliationVerdict.OPEN,
    ReconciliationVerdict.OTHER,
)


def _verdict_columns() -> tuple[Column, ...]:
    ranks = {ReconciliationVerdict.OPEN: 2, ReconciliationVerdict.OTHER: 3}
    return tuple(Column(verdict.value.replace("_", " "), right=True, rank=ranks.get(verdict, 0)) for verdict in _SHOWN)


def _row(each: Reconciled) -> list[str]:
    counts = [sum(compared.verdict is verdict for compared in each.compared) for verdict in _SHOWN]
    return [each.account, each.source, str(len(each.compared)), *map(str, counts)]


def _amounts(compared: ReconciliationItem) -> str:
    here = "nothing" if compared.ledger_micros is None else plain(from_micros(compared.ledger_micros))
    there = "no amount" if compared.upstream_micros is None else plain(from_micros(compared.upstream_micros))
    return f"ledger {here}, provider {there} ({compared.unit})"


def _document(each: Reconciled | StatementUnavailable) -> dict[str, Any]:
    if isinstance(each, StatementUnavailable):
        return {"account": each.account, "book": each.source, "read": False, "message": each.message}
    return {
        "account": each.account,
        "book": each.source,
        "read": True,
        "complete": each.complete,
        "others": each.others,
        "notes": list(each.notes),
        "adopted": list(each.adopted),
        "adjusted": {"unit": each.unit, "units": plain(from_micros(each.adjusted_micros))},
        "tasks": [
            {
                "task_id": compared.task_id,
                "verdict": compared.verdict.value,
                "attempt_id": compared.attempt_id,
                "ledger_units": _units(compared.ledger_micros),
                "upstream_units": _units(compared.upstream_micros),
                "note": compared.note,
            }
            for compared in each.compared
        ],
    }


def _units(micros: int | None) -> str | None:
    return None if micros is None else plain(from_micros(micros))
