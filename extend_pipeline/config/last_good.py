"""The last valid accounts, saved in the home's state folder. Paid tasks are polled and fetched with them while
accounts.yaml has issues, is missing, or lacks the account. They hold no secret, only names of variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from extend_pipeline.base.private import make_private_folder, replace_private

_NAME: Final = "accounts.last-good.yaml"
_HEAD: Final = """\
# Written by extend-pipeline: the entries of accounts.yaml as they were when they were last without a mistake.
# What is paid for is polled and fetched with them while accounts.yaml has mistakes. Nothing is submitted with them.
"""


def last_good_path(state_dir: Path) -> Path:
    """Return the path of the saved entries; the file has the form of accounts.yaml."""
    return state_dir / _NAME


def write_last_good(
    state_dir: Path, entries: Mapping[str, object], *, timezone: str, alerts: Mapping[str, object] | None = None
) -> None:
    """Replace the saved file atomically by `entries` (by account name, as they are written), the home's time zone and
    the section `alerts`. Raises OSError."""
    document: dict[str, object] = {"timezone": timezone, "accounts": list(entries.values())}
    document |= {} if alerts is None else {"alerts": dict(alerts)}
    text = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    make_private_folder(state_dir)
    replace_private(last_good_path(state_dir), f"{_HEAD}{text}")
