"""`init`: write commented example files into a home, without overwriting any."""

from importlib.resources import files
from pathlib import Path
from typing import Final

import click

from extend_pipeline.base.private import make_private_folder, open_private
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, json_option, say
from extend_pipeline.commands.shared.new_home import IGNORED, shipped_text, write_missing, written_to

_SCHEMAS: Final = ".schemas"


@click.command()
@json_option
def init(as_json: bool) -> None:
    """Write commented example files into the home.

    catalog.yaml says which videos to extend, accounts.yaml through which accounts and for how much; dagster.yaml is for
    DAGSTER_HOME. Existing files are left as they are. The schemas in .schemas let an editor check the first two as they
    are typed.
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
    contents["dagster.yaml"] = shipped_text("deploy/dagster.yaml")
    contents[".gitignore"] = IGNORED
    # the files of a catalogue are read together, and the examples are not the user's videos
    catalogue = list(dict.fromkeys(file.name.partition("/")[0] for file in catalogue_files(folder)[0]))
    if catalogue:
        del contents["catalog.yaml"]
    with written_to(folder):
        make_private_folder(folder / _SCHEMAS)
        for name, text in schema_files(PROVIDERS).items():
            with open_private(folder / _SCHEMAS / name, "w") as file:
                file.write(text)
        written, existing = write_missing(folder, contents)
    return written, [*catalogue, *existing]
