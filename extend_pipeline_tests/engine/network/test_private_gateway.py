"""A chain through a gateway at an address of a private network, over http: in a network namespace of its own, because
the address must be real and reach no other host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NETWORK = "ip link set lo up && ip addr add 10.77.0.1/24 dev lo"


def _unshare() -> list[str] | None:
    """Return the command that makes a network namespace on this machine; None where it can't."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return None
    for flags in (["-n"], ["--user", "--map-root-user", "-n"]):
        command = ["unshare", *flags, "sh", "-c"]
        if subprocess.run([*command, NETWORK], capture_output=True, check=False).returncode == 0:
            return command
    return None


def test_a_chain_through_a_private_address_over_http_is_paid_once_and_fetched(tmp_path: Path) -> None:
    command = _unshare()
    if command is None:
        pytest.skip("no network namespace can be made here")
    script = f'{NETWORK} && exec "$0" -m extend_pipeline_tests.engine.network.private_gateway "$1"'
    done = subprocess.run(
        [*command, script, sys.executable, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == {"state": "complete", "hops": 2, "charges": 2, "hosts": ["new-api:3000"]}
