"""`sandbox`: run imitations of the providers on this machine until Ctrl-C."""

from __future__ import annotations

import json
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import click

from extend_pipeline.commands.demo.home_lock import lock_home
from extend_pipeline.commands.render.home import home_settings
from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.shared.options import Seconds
from extend_pipeline.engine.home import wall_ms

DEFAULT_PORT = 8787


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0 takes a free one."
)
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), help="Default: {home}/state/sandbox.")
@click.option("--seed-file", type=click.Path(dir_okay=False, path_type=Path), help="JSON: a list of {video_id, …}.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random numbers.")
@click.option(
    "--run-time",
    type=Seconds(),
    nargs=2,
    default=(2.0, 4.0),
    show_default=True,
    metavar="LOW HIGH",
    help="Seconds that a task runs.",
)
@click.option("--slots", type=click.IntRange(min=1), default=20, show_default=True, help="Parallel tasks an account.")
@click.option("--balance", help="Units to spend; without it there is no limit.")
@click.option("--url-ttl", type=Seconds(), default=30 * 86400.0, show_default=True, help="Seconds that a URL lives.")
@click.option(
    "--now-offset",
    type=Seconds(negative=True),
    default=0.0,
    show_default=True,
    help="Seconds by which its clock is ahead.",
)
@click.option("--share-media", is_flag=True, help="Films with the same parameters share one file.")
@click.option("--webhook-secret", metavar="whsec_…", help="Sign callbacks.")
def sandbox(*, port: int, state: Path | None, **options: Any) -> None:
    """Run imitations of the providers on this machine.

    An HTTP server on 127.0.0.1 that checks requests, charges and makes real films, for trials at no cost. It runs until
    Ctrl-C and keeps its state.
    """
    from extend_pipeline.sandbox import SandboxConfig, serve

    seed_file = options.pop("seed_file")
    config = SandboxConfig(
        seeds=() if seed_file is None else tuple(read_seeds(seed_file)),
        **{**options, "balance": _balance(options["balance"])},
    )

    def ready(url: str) -> None:
        say(f"sandbox ready at {url}")
        say("An account for it in accounts.yaml:")
        say("  - name: sandbox")
        say("    provider: kling")
        say(f"    base_url: {url}")
        say("    allow_local: true")
        say("    credentials: {access_key_env: SANDBOX_ACCESS_KEY, secret_key_env: SANDBOX_SECRET_KEY}")
        say('    download_hosts: ["127.0.0.1"]')
        say("    budget: {per_day: 1000, total: 1000}")
        say("    poll: {first_after: 1, every: 1}")
        say(f"with SANDBOX_ACCESS_KEY={config.access_key} and SANDBOX_SECRET_KEY={config.secret_key}. Ctrl-C ends it.")

    with suppress(KeyboardInterrupt):
        if state is not None:  # the sandbox locks its own folder, and no home is used
            serve(state_dir=state, port=port, config=config, on_ready=ready)
            return
        settings = home_settings()
        with lock_home(settings.home, state=settings.state_dir, verb="sandbox", now_ms=wall_ms()):
            serve(state_dir=settings.state_dir / "sandbox", port=port, config=config, on_ready=ready)


def read_seeds(path: Path) -> list[dict[str, object]]:
    """Return the source videos of a seed file. Raises click.UsageError if it is not a JSON list of objects."""
    try:
        seeds = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"seed file {path} can't be read: {error}") from error
    if not isinstance(seeds, list) or not all(isinstance(seed, dict) for seed in seeds):
        raise click.UsageError(f"seed file {path} must hold a list of objects {{video_id, duration, model, mode}}")
    return seeds


def _balance(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        balance = Decimal(text)
    except InvalidOperation:
        balance = Decimal("NaN")
    if not balance.is_finite() or balance < 0:
        raise click.UsageError(f"--balance {text!r} is not a number of units, such as 100 or 3.5")
    return balance
