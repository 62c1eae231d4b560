"""`approve`: record an operator's decision about edits of the catalogue that would pay for a hop again, or that took
many videos out."""

from typing import Any

import click

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.commands.render.describe import cost_of
from extend_pipeline.commands.render.home import home_settings, with_home_option
from extend_pipeline.commands.render.output import emit, say
from extend_pipeline.commands.render.videos import cost
from extend_pipeline.commands.shared.confirm import confirm, is_interactive, yes_option
from extend_pipeline.commands.shared.names import NAME, require_videos
from extend_pipeline.commands.shared.options import decision_options
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.decisions.edits import (
    DecidedEdit,
    Decision,
    confirm_withdrawn,
    edits_to_decide,
    record_decision,
)
from extend_pipeline.engine.home import Pipeline, open_home


@click.command()
@click.argument("videos", type=NAME, nargs=-1, metavar="[VIDEO]...")
@click.option("--keep", "decision", flag_value="keep", help="Keep what is paid; the edit holds from the next hop on.")
@click.option("--pay", "decision", flag_value="pay", help="Buy the edited hop, and all that follow it, anew.")
@click.option("--all", "everything", is_flag=True, help="Decide about every edit that waits.")
@click.option("--withdrawn", is_flag=True, help="The videos that left the catalogue at once were meant to leave.")
@yes_option
@decision_options
def approve(
    videos: tuple[str, ...],
    decision: Decision | None,
    everything: bool,
    withdrawn: bool,
    yes: bool,
    why: str,
    who: str,
    as_json: bool,
) -> None:
    """Decide about edits that would pay again: keep what is paid, or pay. With --withdrawn, say that an edit which took
    many videos out of the catalogue was meant.

    `status` shows each edit with its price. To undo an edit instead, restore the old text in the catalogue. Nothing is
    submitted by this command. At a terminal --pay shows its price and asks; elsewhere it is recorded at once.
    """
    if withdrawn:
        if decision is not None or everything or videos:
            raise click.UsageError("--withdrawn stands alone: it is about all videos that left the catalogue.")
        _approve_withdrawn(who=who, why=why, as_json=as_json)
        return
    if decision is None:
        raise click.UsageError("say --keep or --pay; extend-pipeline status shows what each costs.")
    if everything == bool(videos):
        raise click.UsageError("name the videos, or say --all for every edit that waits.")
    with open_home(home_settings()) as pipeline:
        configuration = pipeline.configuration
        if configuration.problems and not all(key in configuration.catalogue.videos for key in videos):
            raise ConfigError(configuration.problems)  # one may hide a video
        require_videos(videos, pipeline)
        declare_catalogue(pipeline)
        decided = edits_to_decide(pipeline, decision=decision, videos=None if everything else videos)
        if decision == "pay" and decided and not yes and not as_json and is_interactive():
            confirm(*(_line(pipeline, edit, decision) for edit in decided))
        record_decision(pipeline, decided, decision=decision, who=who, why=why)
        if as_json:
            documents = [_document(pipeline, edit) for edit in decided]
            emit({"decision": decision, "who": who, "videos": documents})
            return
        for edit in decided:
            say(_line(pipeline, edit, decision))
        waiting = {edit.video_key for edit in decided}
        for key in videos:
            if key not in waiting:
                say(f"{key}: no edit waits for a decision")
        if not decided and everything:
            say("no edit waits for a decision")
        if any(edit.left_micros != (0, 0) for edit in decided):
            say(f"→ {with_home_option('extend-pipeline advance')} goes on with it")


def _approve_withdrawn(*, who: str, why: str, as_json: bool) -> None:
    with open_home(home_settings()) as pipeline:
        declare_catalogue(pipeline)
        videos = confirm_withdrawn(pipeline, who=who, why=why)
    if as_json:
        emit({"decision": "withdrawn", "who": who, "videos": list(videos)})
    elif videos:
        say(f"recorded: {counted(len(videos), 'video')} left the catalogue as was meant: {first_names(videos)}")
    else:
        say("no videos that left the catalogue wait for a decision")


def _line(pipeline: Pipeline, edit: DecidedEdit, decision: Decision) -> str:
    micros = edit.left_micros
    price = "at a price that isn't known" if micros is None else cost(cost_of(pipeline.accounts[edit.account], micros))
    if decision == "keep":
        return f"{edit.video_key}: what is paid stays, the edit holds from the next hop on; left to spend: {price}"
    return f"{edit.video_key}: hop {edit.hop} and all that follow are bought anew; left to spend: {price}"


def _document(pipeline: Pipeline, edit: DecidedEdit) -> dict[str, Any]:
    micros = edit.left_micros
    left = None if micros is None else cost_of(pipeline.accounts[edit.account], micros).document()
    return {"video": edit.video_key, "hop": edit.hop, "cost_left": left}
