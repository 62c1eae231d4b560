"""`alert`: send a test alert to the receivers that accounts.yaml names."""

import time
from typing import Final

import click

from extend_pipeline.alerts.decide import Decision, Kind, Reported
from extend_pipeline.alerts.delivery import Delivered
from extend_pipeline.alerts.message import Sender, build_message
from extend_pipeline.alerts.outbox import new_id
from extend_pipeline.commands.render.home import home_settings
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.shared.home import print_mistakes
from extend_pipeline.engine.home import open_home

NOT_SENT: Final = 1


@click.command()
@click.option("--test", is_flag=True, required=True, help="Say in the alert that it is a test.")
@json_option
@click.pass_context
def alert(ctx: click.Context, test: bool, as_json: bool) -> None:  # noqa: ARG001 - there is no other alert by hand
    """Send a test alert now, and show what came back.

    It goes to the webhook and the command under `alerts` in accounts.yaml, as alerts of Dagster's alert_sensor do.
    Exit code 1 when one of them didn't get it, 2 when the files have a mistake: nothing is sent then.
    """
    from extend_pipeline.alerts.receivers import receivers_of  # loads httpx

    with open_home(home_settings(), works=False) as pipeline:
        configuration = pipeline.configuration
        if code := print_mistakes(pipeline):  # the receivers would be those of the last good file
            ctx.exit(code)
        receivers = receivers_of(configuration)
    if not receivers:
        raise click.UsageError(
            "accounts.yaml names no receiver of alerts. Write alerts: {webhook: https://…} or alerts: {command: "
            "[PROGRAM, ARGUMENT]} to it, see docs/dagster.md"
        )
    now_s = int(time.time())
    sender = Sender(home=str(configuration.settings.home.absolute()))
    decision = Decision(kind=Kind.TEST, after=Reported())
    message = build_message(new_id(), decision, sender, (), now_s=now_s)
    results = {receiver.name: receiver.deliver(message, now_ms=now_s * 1000) for receiver in receivers}
    if as_json:
        emit(
            {
                "message": message,
                "receivers": [
                    {
                        "receiver": name,
                        "delivered": isinstance(result, Delivered),
                        "reply": result.note if isinstance(result, Delivered) else result.reason,
                    }
                    for name, result in results.items()
                ],
            }
        )
    else:
        for name, result in results.items():
            say(f"{name}: {f'sent, {result.note}' if isinstance(result, Delivered) else f'not sent: {result.reason}'}")
    ctx.exit(0 if all(isinstance(result, Delivered) for result in results.values()) else NOT_SENT)
