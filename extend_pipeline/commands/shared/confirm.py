"""Ask at a terminal before a decision that can cost money."""

import sys

import click

from extend_pipeline.commands.render.output import say

yes_option = click.option("--yes", is_flag=True, help="Do not ask again.")


def is_interactive() -> bool:
    """Return whether stdin is a terminal, at which an operator can confirm."""
    return sys.stdin.isatty()


def confirm(*lines: str) -> None:
    """Show what a decision does, and ask. Raises click.Abort on a no."""
    for line in lines:
        say(line, err=True)
    if not click.confirm("Do it?", default=False, err=True):
        raise click.Abort
