"""Entry point for Dagster: `build_defs` mounts a home anywhere, and `defs` is this project's own workspace."""

from pathlib import Path
from typing import Final

import dagster as dg

from extend_pipeline.dagster_defs.build import build_defs, build_own

__all__ = ["build_defs", "defs"]

_FOLDER: Final = Path(__file__).parent / "defs"
_OURS: Final = {"__init__.py", "__pycache__"}


def _added() -> list[dg.Definitions]:
    """Return what a checkout has in the folder `defs`, where `dg scaffold defs` writes. An empty one, as in a wheel,
    is not loaded, because that needs the checkout's pyproject.toml."""
    is_empty = all(path.name in _OURS or path.name.startswith(".") for path in _FOLDER.iterdir())
    return [] if is_empty else [dg.load_from_defs_folder(path_within_project=_FOLDER)]


# an asset that is materialised by hand has one step too; elsewhere the executor is the other project's to choose
defs = dg.Definitions.merge(build_own(), dg.Definitions(executor=dg.in_process_executor), *_added())
