"""Entry point of the command line: the list of verbs, without importing any of them before it is run.

Exit codes: 0 done, 1 something needs an operator, 2 wrong use or configuration, 70 a crash, 130 stopped.
"""

import ast
import atexit
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.base import failpoints

NEEDS_PERSON: Final = 1
WRONG_USE: Final = 2
COLLECT_AFTER: Final = 50_000
"""New objects after which Python looks for garbage. Its own 700 would look at the same objects again and again."""


VERBS: Final[Mapping[str, str]] = {
    "demo": "demo.run:demo",
    "dev": "demo.run:dev",
    "init": "init:init",
    "sandbox": "demo.sandbox:sandbox",
    "doctor": "doctor.verb:doctor",
    "plan": "plan:plan",
    "advance": "advance:advance",
    "status": "status:status",
    "resolve": "resolve:resolve",
    "approve": "approve:approve",
    "reconcile": "reconcile:reconcile",
    "ledger": "ledger:ledger",
    "pause": "controls:pause",
    "resume": "controls:resume",
    "media": "media:media",
    "callbacks": "callbacks:callbacks",
    "alert": "alert:alert",
    "publish": "warehouse.publish:publish",
    "report": "warehouse.report:report",
    "sql": "warehouse.sql:sql",
}
"""The command of each verb (`module:function` below `commands`), in the order of `--help`: the order of first use."""


def summary(verb: str) -> str:
    """Return the first sentence of a verb's help. It is read from the source, so that `--help` imports no verb."""
    module, _, name = VERBS[verb].partition(":")
    source = Path(__file__).parent.joinpath("commands", *module.split(".")).with_suffix(".py")
    functions = (node for node in ast.parse(source.read_bytes()).body if isinstance(node, ast.FunctionDef))
    documented = next(ast.get_docstring(function) for function in functions if function.name == name)
    return (documented or "").partition("\n\n")[0].replace("\n", " ")


class LazyGroup(click.Group):
    """A group that imports a command when it is run, and turns its errors into exit codes."""

    verbs: Mapping[str, str] = VERBS

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the verbs in the order of `--help`."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import and return the command of a verb; None for an unknown name."""
        target = self.verbs.get(cmd_name)
        if target is None:
            return None
        module, _, name = target.partition(":")
        # imports make some 300,000 objects that stay, and looking for garbage among them takes a fifth of a start
        gc.disable()
        try:
            command: click.Command = getattr(importlib.import_module(f"extend_pipeline.commands.{module}"), name)
        finally:
            gc.freeze()
            gc.enable()
        _add_examples(command, cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the verb. Raises UsageError if any argument isn't valid UTF-8."""
        for argument in args:
            try:
                argument.encode()
            except UnicodeEncodeError:
                escaped = argument.encode("ascii", "backslashreplace").decode()[:100]
                raise click.UsageError(f"{escaped!r} can't be read: it isn't UTF-8", ctx) from None
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command. The error for an unknown verb suggests similar ones."""
        verb = args[0]
        if verb not in self.verbs and not verb.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(verb, possibilities=list(self.verbs), ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the verbs with the first sentence of their help."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, summary(verb)) for verb in self.verbs])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Any error it raises is written to stderr and becomes an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            click.echo("stopped.", err=True)
            ctx.exit(130)
        except EOFError as error:
            if (advice := _cut_bytecode(error)) is None:
                raise
            click.echo(advice, err=True)
            ctx.exit(NEEDS_PERSON)
        except Exception as error:  # noqa: BLE001 - the last place that can keep secrets out of a traceback
            from extend_pipeline.commands.shared.errors import report_error

            ctx.exit(report_error(error))


def _cut_bytecode(error: EOFError) -> str | None:
    """Return what to do where Python kept the half of a module's bytecode that a full disk had room for, and fails at
    each start since; None for another error."""
    # the name of the local variable is that of importlib's SourceLoader.get_code, which says it nowhere else
    paths = [frame.f_locals.get("bytecode_path") for frame, _ in traceback.walk_tb(error.__traceback__)]
    found = next((path for path in paths if path is not None), None)
    if found is None:
        return None
    return (
        f"{found} was cut short, as happens when the disk fills up while a program starts for the first time.\n"
        "Make room on the disk, remove that file, and start again: Python writes it anew. Your home is not affected."
    )


def _add_examples(command: click.Command, name: str) -> None:
    from extend_pipeline.commands.shared.examples import epilog

    command.epilog = epilog(name)
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            _add_examples(subcommand, f"{name} {subcommand.name}")


@click.group(cls=LazyGroup, subcommand_metavar="VERB [ARGS]...")
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of catalog.yaml, accounts.yaml and state. Default: $EXTEND_PIPELINE_HOME, or data.",
)
@click.version_option(package_name="extend_pipeline")
def cli(home: Path | None) -> None:
    """Make AI-generated videos longer, and never pay twice for the same step.

    Exit codes: 0 done, 1 something needs a person, 2 wrong use or configuration, 70 a bug in this program, 130 stopped
    before the work was done.
    """
    from extend_pipeline.commands.render.home import use_home

    use_home(home)


def main() -> None:
    """Run `extend-pipeline` with standard streams that can always be written."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    # what is left ends with the process, and Python would look at all of it for garbage several times: 0.2 s
    atexit.register(gc.freeze)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell: `>&-`
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, PTH123 - to the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a character that the terminal can't encode is shown as its code point instead of raising an error
            stream.reconfigure(errors="backslashreplace")
    try:
        failpoints.arm_from_environment()
    except ValueError as error:
        click.echo(f"{failpoints.ENVIRONMENT}: {error}", err=True)
        sys.exit(WRONG_USE)
    cli(prog_name="extend-pipeline")


if __name__ == "__main__":
    main()
