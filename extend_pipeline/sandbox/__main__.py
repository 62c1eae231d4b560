"""`python -m extend_pipeline.sandbox`: the sandbox as a process of its own, which can be killed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from extend_pipeline.sandbox.config import SandboxConfig, SandboxError
from extend_pipeline.sandbox.server import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; 0 when stopped, 2 when it cannot start."""
    options = vars(_parser().parse_args(arguments))
    options["run_time"] = tuple(options["run_time"])
    state, host, port, seed_file = (options.pop(name) for name in ("state", "host", "port", "seed_file"))
    try:
        config = SandboxConfig(seeds=tuple(_seeds(seed_file)), **options)  # the other options are named as its fields
        serve(
            state_dir=state,
            host=host,
            port=port,
            config=config,
            on_ready=lambda url: print(f"sandbox ready at {url}", flush=True),
        )
    except SandboxError as problem:
        print(f"sandbox: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    default = SandboxConfig()
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline.sandbox", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, metavar="DIR", help="where state and films are kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--seed-file", type=Path, metavar="JSON", help="a list of {video_id, duration, provider, model, mode}"
    )
    parser.add_argument("--seed", type=int, default=default.seed, help="what all draws depend on")
    parser.add_argument("--run-time", type=float, nargs=2, default=default.run_time, metavar=("LOW", "HIGH"))
    parser.add_argument("--slots", type=int, default=default.slots, help="parallel tasks an account may have")
    parser.add_argument("--balance", type=Decimal, default=None, help="units to spend; none means no limit")
    parser.add_argument("--url-ttl", type=float, default=default.url_ttl, metavar="SECONDS")
    parser.add_argument(
        "--billing-delay",
        type=float,
        default=default.billing_delay,
        metavar="SECONDS",
        help="how late bills are",
    )
    parser.add_argument("--now-offset", type=float, default=0.0, metavar="SECONDS", help="shift the clock")
    parser.add_argument("--share-media", action="store_true", help="films of equal make-up share one file")
    parser.add_argument("--webhook-secret", default=None, metavar="whsec_…", help="sign callbacks")
    return parser


def _seeds(path: Path | None) -> list[dict[str, object]]:
    if path is None:
        return []
    try:
        seeds = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SandboxError(f"seed file {path} cannot be read: {problem}") from problem
    if not isinstance(seeds, list) or not all(isinstance(seed, dict) for seed in seeds):
        raise SandboxError(f"seed file {path} must hold a list of objects like {{video_id, duration, model, mode}}")
    return seeds


if __name__ == "__main__":
    sys.exit(main())
