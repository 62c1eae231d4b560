"""`init`: write commented example files into a home, without overwriting any."""

from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.private import make_private_folder, open_private
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say

_SCHEMAS: Final = ".schemas"
_IGNORED: Final = "# All that is generated: the ledger, the films, the warehouse.\n/state/\n"


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Write commented example files into the home.

    catalog.yaml says which videos to extend, accounts.yaml through which accounts and for how much. Existing files are
    left as they are. The schemas in .schemas let an editor check both as they are typed.
    """
    folder = home_settings().home
    written, existing = write_examples(folder)
    if as_json:
        emit({"home": str(folder), "written": written, "existing": existing})
        return
    for name in written:
        say(f"wrote {folder / name}")
    for name in existing:
        say(f"{folder / name} exists and was left as it is")
    if written:
        say("Next: put your own accounts and videos there, and let doctor and plan look at them:")
        for verb in ("doctor", "plan"):
            say(f"    {with_home_option(f'extend-pipeline {verb}')}")


def write_examples(folder: Path) -> tuple[list[str], list[str]]:
    """Write the missing files, and the schemas of this version in any case.

    Return the names of the written and of the existing files. Raises click.UsageError if the folder can't be written.
    """
    from extend_pipeline.config.files.catalogue import catalogue_files
    from extend_pipeline.config.json_schema import schema_files
    from extend_pipeline.providers.registry import PROVIDERS

    examples = files("extend_pipeline.config") / "examples"
    contents = {name: (examples / name).read_text(encoding="utf-8") for name in ("catalog.yaml", "accounts.yaml")}
    contents[".gitignore"] = _IGNORED
    written: list[str] = []
    existing: list[str] = []
    # the files of a catalogue are read together, and the examples are not the user's videos
    if catalogue := list(dict.fromkeys(file.name.partition("/")[0] for file in catalogue_files(folder)[0])):
        del contents["catalog.yaml"]
        existing += catalogue
    try:
        make_private_folder(folder)
        make_private_folder(folder / _SCHEMAS)
        for name, text in schema_files(PROVIDERS).items():
            with open_private(folder / _SCHEMAS / name, "w") as file:
                file.write(text)
        for name, content in contents.items():
            try:
                with open_private(folder / name, "x") as file:
                    file.write(content)
                written.append(name)
            except FileExistsError:
                existing.append(name)
    except OSError as error:
        raise click.UsageError(f"{error.filename or folder} can't be written: {error.strerror or error}") from error
    return written, existing
