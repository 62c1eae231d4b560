"""Scripts of migrations read once a process. Alembic loads the folder anew for every database that it looks at, and
each instance of Dagster's has three, so that this takes a tenth of the time of Dagster's tests."""

from __future__ import annotations

from typing import Final

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

_read: Final[dict[tuple[str | None, str | None], ScriptDirectory]] = {}


def read_migrations_once(patch: pytest.MonkeyPatch) -> None:
    """Let each folder of migrations be read once while the patch lasts."""
    really_read = ScriptDirectory.from_config

    def from_config(config: Config) -> ScriptDirectory:
        place = (config.config_file_name, config.get_main_option("script_location"))
        if place not in _read:
            _read[place] = really_read(config)
        return _read[place]

    patch.setattr(ScriptDirectory, "from_config", from_config)
