"""Runs a verb in a process that the kernel gives less: files that may not grow, no rights of root, another umask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from extend_pipeline_tests.support.engine_home import EngineHome

_BOOT = """
import ctypes, json, os, resource, signal, sys
given = json.loads(sys.argv[1])
if given["umask"] is not None:
    os.umask(given["umask"])
if given["plain_user"]:
    # capset(2) with nothing in it: from now on root is bound by the modes of files, like anybody else
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        sys.exit(99)
if given["file_bytes"] is not None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (given["file_bytes"], given["file_bytes"]))
from extend_pipeline.cli import main
sys.argv = ["extend-pipeline", *given["arguments"]]
main()
"""


def run_bounded(
    home: EngineHome,
    *arguments: str,
    file_bytes: int | None = None,
    plain_user: bool = False,
    umask: int | None = None,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a verb on a home. No file may grow beyond `file_bytes`; a `plain_user` has no rights beyond files' modes."""
    given: dict[str, Any] = {
        "arguments": ["--home", str(home.path), *arguments],
        "file_bytes": file_bytes,
        "plain_user": plain_user,
        "umask": umask,
    }
    settings = {f"EXTEND_PIPELINE_{name.upper()}": str(value) for name, value in home.options.items()}
    return subprocess.run(
        [sys.executable, "-c", _BOOT, json.dumps(given)],
        env={**os.environ, **settings, "EXTEND_PIPELINE_LEDGER_URL": home.ledger_url, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
    )
