"""`media`: record an operator's decisions about an emptied media store, and about films that are lost."""

import click

from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.shared.names import NAME
from extend_pipeline.commands.shared.options import who_option
from extend_pipeline.engine.home import open_home
from extend_pipeline.engine.store.watch import accept_store
from extend_pipeline.ledger.write import files


@click.group()
def media() -> None:
    """Decide about films that are gone: fetch again, or forget."""


@media.command()
@who_option
@json_option
def refetch(who: str, as_json: bool) -> None:
    """Accept the media folder as it is, and fetch the missing files again.

    For a store that was really emptied. Costs nothing; films that no provider has any more are reported as lost.
    """
    with open_home(home_settings()) as pipeline:
        gone = accept_store(pipeline, actor=who)
        folder = pipeline.store.place
    if as_json:
        emit({"folder": folder, "missing": gone, "who": who})
    elif gone:
        todo = with_home_option("extend-pipeline advance")
        say(f"{gone} files are gone from {folder}; fetch them again: {todo}")
    else:
        say(f"every file that the ledger knows is in {folder}")


@media.command()
@click.argument("where", type=NAME, nargs=-1, metavar="[VIDEO/HOP]...")
@click.option("--all", "everything", is_flag=True, help="All films that are lost.")
@who_option
@json_option
@click.pass_context
def forget(ctx: click.Context, where: tuple[str, ...], everything: bool, who: str, as_json: bool) -> None:
    """Stop reporting films that are lost. They stay paid and stored in the ledger."""
    if bool(where) == everything:
        raise click.UsageError("name the films as VIDEO/HOP, or say --all.")
    with open_home(home_settings()) as pipeline:
        with pipeline.ledger.read() as connection:
            lost = files.found_missing(connection, states=("lost",))
        chosen = [file for file in lost if everything or file.where in where]
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=who) as tx:
            for file in chosen:
                files.record_forgotten(tx, file)
    forgotten = sorted({file.where for file in chosen})
    unknown = [name for name in where if name not in forgotten]
    if as_json:
        emit({"forgotten": forgotten, "not_lost": unknown, "who": who})
    else:
        say(f"no longer reported: {', '.join(forgotten) or 'nothing'}")
        for name in unknown:
            say(f"{name} is not lost: {with_home_option('extend-pipeline status')} names those that are", err=True)
    ctx.exit(1 if unknown else 0)
