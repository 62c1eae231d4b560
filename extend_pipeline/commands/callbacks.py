"""`callbacks`: run the receiver of callbacks until it is stopped."""

import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import click

from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.commands.shared.interruptible import handled
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.ledger_look import look, must_take_writes
from extend_pipeline.engine.home import open_home, wall_ms

DEFAULT_PORT: Final = 8788


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)
def callbacks(host: str, port: int) -> None:
    """Receive callbacks of providers, until Ctrl-C.

    It serves the accounts with `callbacks` in accounts.yaml. A callback only makes its task due now, and the next poll
    asks for the task's state. Put a proxy with TLS before it. Without it everything is polled, and an unclear response
    of a reseller waits for a person.
    """
    with open_home(home_settings()) as pipeline:
        if print_mistakes(pipeline) and all(account.callbacks is None for account in pipeline.accounts.values()):
            raise ConfigError(pipeline.configuration.problems)
        names = accounts_with_callbacks(pipeline.accounts)
        ledger = look(pipeline.settings, pipeline.ledger)
        if not ledger.may_spend:
            _log(f"{ledger.message} → {with_home_option(ledger.todo)}")
            must_take_writes(pipeline.ledger)
        from extend_pipeline.webhooks.server import ReceiverError, build_server, listen  # uvicorn costs 0.1 s

        try:
            listener = listen(host, port)
        except ReceiverError as error:
            raise click.UsageError(str(error)) from error
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

        def ready() -> None:
            _log(f"callbacks are received on {url} for {', '.join(names)}")

        # uvicorn raises the signals again after it has stopped
        unheard = handled((signal.SIGINT, signal.SIGTERM), lambda *_: None)
        with listener, unheard, suppress(KeyboardInterrupt):
            build_server(pipeline, on_ready=ready, log=_log).run(sockets=[listener])
        _log("stopped")


def accounts_with_callbacks(accounts: Mapping[str, Account]) -> list[str]:
    """Return the names of the accounts that ask for callbacks.

    Raises click.UsageError if there is none, or if a signing secret can't be used, because every callback would be
    refused then.
    """
    names = [name for name, account in accounts.items() if account.callbacks is not None]
    if not names:
        raise click.UsageError(
            "no account asks for callbacks. Write callbacks: {url: https://…} to an account in accounts.yaml, "
            "see docs/callbacks.md; without them everything is polled"
        )
    from extend_pipeline.providers.wire.credentials import SecretFault
    from extend_pipeline.webhooks.signature import read_signing_secrets

    secrets = {name: read_signing_secrets(accounts[name]) for name in names}
    faults = [f"account {name}: {fault.message}" for name, fault in secrets.items() if isinstance(fault, SecretFault)]
    if faults:
        raise click.UsageError("; ".join(faults))
    return names


def _log(line: str) -> None:
    say(f"{from_ms(wall_ms()):%Y-%m-%d %H:%M:%S} UTC {line}")
