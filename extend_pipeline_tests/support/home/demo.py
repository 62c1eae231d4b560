"""A copy of the demo's home, at a free port."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from extend_pipeline_tests.support.servers.ports import free_port

DEMO: Final = Path(__file__).parents[3] / "data" / "demo"
FILES: Final = ("accounts.yaml", "catalog.yaml", "sandbox.json")
_PORT: Final = "8791"  # of the sandbox, in its accounts.yaml


def write_demo(home: Path) -> Path:
    """Write the demo's files into a folder, for its owner only, with a free port, and return the folder."""
    home.mkdir(mode=0o700, exist_ok=True)
    port = str(free_port())
    for name in FILES:
        text = (DEMO / name).read_text(encoding="utf-8")
        (home / name).write_text(text.replace(_PORT, port), encoding="utf-8")
        (home / name).chmod(0o600)
    return home
