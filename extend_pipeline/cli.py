"""The command line's way in: which verbs there are, and nothing that costs time before one of them is chosen.

Exit codes: 0 done, 1 something needs a person, 2 wrong use or configuration, 70 a crash, 130 stopped.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.base import failpoints

WRONG_USE: Final = 2


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a command lives (`module:attribute`) and what --help says of it, so that --help imports none of them."""

    target: str
    help: str


_COMMANDS: Final = "extend_pipeline.commands"

VERBS: Final[Mapping[str, Verb]] = {
    "demo": Verb(
        f"{_COMMANDS}.demo.run:demo", "Watch eleven videos grow in the sandbox, through a real Dagster; ends by itself."
    ),
    "dev": Verb(f"{_COMMANDS}.demo.run:dev", "Keep the sandbox and Dagster with its UI running, until Ctrl-C."),
    "init": Verb(f"{_COMMANDS}.init:init", "Write commented example files into the home."),
    "sandbox": Verb(f"{_COMMANDS}.demo.sandbox:sandbox", "Run the pretended providers on this machine."),
    "doctor": Verb(f"{_COMMANDS}.doctor.verb:doctor", "Check everything that the work needs; spends nothing."),
    "plan": Verb(f"{_COMMANDS}.plan:plan", "Show what would be done and what it would cost; changes nothing."),
    "advance": Verb(f"{_COMMANDS}.advance:advance", "Recover, poll, fetch, submit: one round, or until idle."),
    "status": Verb(f"{_COMMANDS}.status:status", "Show where everything stands and what needs a person."),
    "resolve": Verb(f"{_COMMANDS}.resolve:resolve", "Decide about an extension: adopt, resubmit, write-off."),
    "approve": Verb(
        f"{_COMMANDS}.approve:approve", "Decide about edits that would pay again: keep what is paid, or pay."
    ),
    "reconcile": Verb(
        f"{_COMMANDS}.reconcile:reconcile", "Compare the ledger with the providers' lists, bills and invoices."
    ),
    "ledger": Verb(f"{_COMMANDS}.ledger:ledger", "Accept another ledger, or move this one to another database."),
    "pause": Verb(f"{_COMMANDS}.controls:pause", "Stop all submits, of one account or of all."),
    "resume": Verb(f"{_COMMANDS}.controls:resume", "Lift a pause or a stop."),
    "media": Verb(f"{_COMMANDS}.media:media", "Decide about films that are gone: fetch again, or forget."),
    "callbacks": Verb(f"{_COMMANDS}.callbacks:callbacks", "Receive callbacks of providers, until Ctrl-C."),
    "publish": Verb(f"{_COMMANDS}.publish:publish", "Bring the warehouse file up to date."),
    "sql": Verb(f"{_COMMANDS}.sql.verb:sql", "Ask the warehouse a question in SQL."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run, and whose errors end as one of the exit codes."""

    verbs: Mapping[str, Verb] = VERBS

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order in which a person meets them."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import the command of one verb; None for a word that is no verb."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        module, _, attribute = verb.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        _add_examples(command, cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the verb. Raises UsageError where any word of the command isn't text."""
        for word in args:
            try:
                word.encode()
            except UnicodeEncodeError:  # bytes of the command line that are no UTF-8
                shown = word.encode("ascii", "backslashreplace").decode()[:100]
                raise click.UsageError(f"{shown!r} can't be read: it isn't UTF-8", ctx) from None
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. An unknown word is told with the verbs that are near."""
        word = args[0]
        if word not in self.verbs and not word.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(word, possibilities=list(self.verbs), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the verbs from the map."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.help) for name, verb in self.verbs.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. What it raises becomes a message for a person and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            click.echo("stopped.", err=True)
            ctx.exit(130)
        except Exception as error:  # noqa: BLE001 - the last place that can keep secrets out of a traceback
            from extend_pipeline.commands.shared.errors import tell

            ctx.exit(tell(error, home=ctx.params.get("home")))


def _add_examples(command: click.Command, name: str) -> None:
    from extend_pipeline.commands.shared.examples import epilog

    command.epilog = epilog(name)
    if isinstance(command, click.Group):
        for part in command.commands.values():
            _add_examples(part, f"{name} {part.name}")


@click.group(cls=LazyGroup, subcommand_metavar="VERB [ARGS]...")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of catalog.yaml, accounts.yaml and state. Default: $EXTEND_PIPELINE_HOME, or data.",
)
@click.version_option(package_name="extend_pipeline")
@click.pass_context
def cli(ctx: click.Context, home: Path | None) -> None:
    """Make AI-generated videos longer, and never pay twice for the same step.

    Exit codes: 0 done, 1 something needs a person, 2 wrong use or configuration, 70 a mistake of this program, 130
    stopped before the work was done.
    """
    from extend_pipeline.commands.render.zone import show_times_of

    ctx.obj = home
    show_times_of(home)


def main() -> None:
    """Entry point of `extend-pipeline`."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123 - to the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a terminal that can't show a character shows its number instead of ending the work
            stream.reconfigure(errors="backslashreplace")
    try:
        failpoints.arm_from_environment()
    except ValueError as error:
        click.echo(f"{failpoints.ENVIRONMENT}: {error}", err=True)
        sys.exit(WRONG_USE)
    cli(prog_name="extend-pipeline")


if __name__ == "__main__":
    main()
