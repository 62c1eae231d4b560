"""`publish`: bring the warehouse file up to date with the ledger."""

import click

from extend_pipeline.commands.render.home import home_settings
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.engine.home import open_home
from extend_pipeline.engine.publish import publish_if_changed
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Published


@click.command()
@json_option
@click.pass_context
def publish(ctx: click.Context, as_json: bool) -> None:
    """Bring the warehouse file up to date.

    Takes time for the rows that have changed since the last time.
    """
    settings = home_settings()
    with open_home(settings) as pipeline:
        outcome = publish_if_changed(pipeline)
        code = print_mistakes(pipeline)
    path = str(settings.warehouse_path)
    match outcome:
        case Published(ledger_seq, rows, rebuilt, size):
            document = {"outcome": "published", "ledger_seq": ledger_seq, "rows": dict(rows), "bytes": size}
            line = f"published {path} at event {ledger_seq}: {sum(rows.values())} rows written, {size:,} bytes"
            if rebuilt is not None:
                document["rebuilt"] = rebuilt
                line += f"; made anew, since {rebuilt}"
        case AlreadyFresh(ledger_seq):
            document = {"outcome": "already_fresh", "ledger_seq": ledger_seq}
            line = f"{path} is up to date at event {ledger_seq}"
        case Busy():
            document = {"outcome": "busy"}
            line = "another process is publishing at this moment; its file will hold everything up to now or soon"
    if as_json:
        emit({**document, "path": path})
    else:
        say(line)
    ctx.exit(code)
