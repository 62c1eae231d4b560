"""The home's time zone, read without its accounts and its catalogue: loading what reads those takes 70 ms."""

from pathlib import Path

from pydantic import ValidationError

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.base.disk import file_mark
from extend_pipeline.config.fields.timezone import HomeFields
from extend_pipeline.config.files.text import is_file, is_there, read_text
from extend_pipeline.config.files.yaml import read_yaml
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue
from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.config.settings import Settings


def home_timezone(settings: Settings) -> str:
    """Return the home's time zone by its IANA name; UTC if no file has a valid one."""
    path = settings.home / ACCOUNTS_FILE
    if is_there(path) and (zone := _read_timezone(path)) is not None:
        return zone
    last_good = last_good_path(settings.state_dir)
    return (_read_timezone(last_good) if is_file(last_good) else None) or UTC_ZONE


def timezone_marks(settings: Settings) -> tuple[object, ...]:
    """Return a value that changes when a file that may give the time zone is written."""
    return file_mark(settings.home / ACCOUNTS_FILE), file_mark(last_good_path(settings.state_dir))


def _read_timezone(path: Path) -> str | None:
    """Return the time zone that a file gives, by its IANA name; None if it gives no valid one."""
    text = read_text(path)
    tree = None if isinstance(text, ConfigIssue) else read_yaml(text, path.name)[0]
    if tree is None or not tree.is_mapping:
        return None
    try:
        return HomeFields.model_validate(tree.value).timezone
    except ValidationError:
        return None
