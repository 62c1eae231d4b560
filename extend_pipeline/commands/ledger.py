"""`ledger`: accept a ledger that this home doesn't remember, or move the ledger to another database."""

from contextlib import closing

import click

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.base.units import from_micros
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.render.text import plain
from extend_pipeline.commands.shared.confirm import confirm, is_interactive, yes_option
from extend_pipeline.commands.shared.options import decision_options, who_option
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.ledger_look import accept as accept_ledger
from extend_pipeline.engine.guards.ledger_look import adopt, look
from extend_pipeline.engine.guards.ledger_verdict import Kind
from extend_pipeline.engine.guards.other_home import other_declarer, take_over
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger.address import AddressError, make_private_file, parse_address
from extend_pipeline.ledger.database import Ledger, LedgerError, open_ledger
from extend_pipeline.ledger.handover import Moved, move, reopen


@click.group()
def ledger() -> None:
    """Accept another ledger, or move this one to another database."""


@ledger.command()
@click.option("--reopen", "lift", is_flag=True, help="Lift the seal of a ledger whose copy is lost.")
@yes_option
@decision_options
def accept(lift: bool, yes: bool, why: str, who: str, as_json: bool) -> None:
    """Go on with the ledger in EXTEND_PIPELINE_LEDGER_URL, although it is not the one that this home remembers, or
    holds the videos of another home.

    At a terminal it shows both and asks; elsewhere it is done at once. If the ledger holds the videos of another home,
    the home that declares its catalogue next goes on, which need not be this one: the command may run on another
    machine than the service. What was paid for in the other ledger is not known in this one, and is bought again if the
    catalogue asks for it.
    """
    settings = home_settings()
    with closing(open_ledger(settings.ledger_url)) as database:
        if not yes and not as_json and is_interactive():
            _confirm(settings, database, lift=lift)
        if lift and look(settings, database).kind is Kind.SEALED:
            reopen(database, now_ms=wall_ms(), actor=who, why=why)
        before = accept_ledger(settings, database, who=who, why=why, now_ms=wall_ms())
        accepted, kind, message = before.kind.can_be_accepted, before.kind.value, before.message
        if (accepted or before.may_spend) and (
            other := take_over(settings, database, who=who, why=why, now_ms=wall_ms())
        ):
            own = _of_another_home(other)
            message = f"{message}; {own}" if accepted else own
            kind = kind if accepted else "other_home"
            accepted = True
    if as_json:
        emit({"accepted": accepted, "kind": kind, "message": message})
    elif accepted:
        say(message)
        goes_on = "the home that declares its catalogue next" if kind == "other_home" else "this home"
        say(f"accepted: {goes_on} goes on with this ledger from now on")
    elif before.may_spend:
        say("nothing to accept: this is the ledger that this home knows")
    if not accepted and not before.may_spend:
        raise LedgerError(
            f"{before.message}. If that database is permanently lost: "
            "extend-pipeline ledger accept --reopen; what was paid for there is paid for again then"
        )


def _confirm(settings: Settings, database: Ledger, *, lift: bool) -> None:
    """Show what would be accepted, and ask; do nothing if nothing is. Raises click.Abort on a no."""
    verdict = look(settings, database)
    accepted = verdict.kind.can_be_accepted or (lift and verdict.kind is Kind.SEALED)
    lines = [verdict.message] if accepted else []
    if accepted or verdict.may_spend:
        with database.read() as connection:
            lines += [_of_another_home(other)] if (other := other_declarer(settings, connection)) else []
    if lines:
        confirm(*lines)


def _of_another_home(name: str) -> str:
    return f"the videos of this ledger were those of the home {name}"


@ledger.command()
@click.option("--to", "to", required=True, metavar="URL", help="sqlite:///… or postgresql://…; an empty database.")
@who_option
@json_option
def copy(to: str, who: str, as_json: bool) -> None:
    """Move the ledger to another database: SQLite or PostgreSQL, either way.

    Everything is copied and verified while no other process can write; then the old ledger is sealed and takes no
    writes any more. If it was stopped, the same command continues. Afterwards set EXTEND_PIPELINE_LEDGER_URL.
    """
    settings = home_settings()
    with closing(open_ledger(settings.ledger_url)) as source:
        verdict = look(settings, source)
        if not verdict.may_spend and verdict.kind is not Kind.SEALED:
            raise LedgerError(f"{verdict.message}. Accept it before it is moved: extend-pipeline ledger accept")
        with closing(_open_target(to)) as target:
            moved = move(source, target, now_ms=wall_ms(), actor=who)
            adopt(settings, target)
            failpoint("copy.after_memory")
    _print_moved(moved, as_json=as_json)


def _open_target(url: str) -> Ledger:
    try:
        make_private_file(parse_address(url))
        return Ledger(url)
    except AddressError as error:
        raise click.UsageError(
            f"--to: {error}; write sqlite:////folder/ledger.sqlite or postgresql://user:password@host/name"
        ) from None


def _print_moved(moved: Moved, *, as_json: bool) -> None:
    committed = {name: plain(from_micros(micros)) for name, micros in moved.committed.items()}
    if as_json:
        emit(
            {
                "ledger_id": moved.ledger_id,
                "address": moved.address,
                "events": moved.seq,
                "rows": dict(moved.rows),
                "committed": committed,
            }
        )
        return
    if moved.rows:
        rows = ", ".join(f"{count} {name}" for name, count in moved.rows.items() if count)
        say(f"copied and verified: {rows or 'an empty ledger'}")
        for name, units in committed.items():
            say(f"committed with {name}: {units}, the same in both")
    say(f"moved to {moved.address}; the old ledger is sealed and takes no writes any more")
    say(f"    → now set EXTEND_PIPELINE_LEDGER_URL={moved.address} wherever this home is used (with user and")
    say(f"      password, where there are any), then: {with_home_option('extend-pipeline doctor')}")
