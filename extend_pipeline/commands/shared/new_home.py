"""Write the first files of a home, without overwriting any."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.private import make_private_folder, open_private

IGNORED: Final = "# All that is generated: the ledger, the films, the warehouse.\n/state/\n"
"""The .gitignore of a home."""

_PACKAGE: Final = Path(__file__).resolve().parents[2]
_SHIPPED: Final = _PACKAGE / "shipped"
"""Where pyproject.toml puts the files of the checkout that a wheel carries beside the code."""


def shipped_text(name: str) -> str:
    """Return the text of a file by its name in the checkout, such as `deploy/dagster.yaml`: from the installed package
    if it is one, else from the checkout."""
    root = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent
    return (root / name).read_text(encoding="utf-8")


@contextmanager
def written_to(folder: Path) -> Iterator[None]:
    """Make a home's folder for what the block writes. Raises click.UsageError if the folder can't be written."""
    try:
        make_private_folder(folder)
        yield
    except OSError as error:
        raise click.UsageError(f"{error.filename or folder} can't be written: {error.strerror or error}") from error


def write_missing(folder: Path, contents: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Write the files that a folder has not. Return the names of the written and of the existing ones."""
    written: list[str] = []
    existing: list[str] = []
    for name, content in contents.items():
        try:
            file = open_private(folder / name, "x")
        except FileExistsError:
            existing.append(name)
            continue
        try:
            with file:
                file.write(content)
        except OSError:  # a full disk: half a file would be taken for the user's own next time
            (folder / name).unlink()
            raise
        written.append(name)
    return written, existing
