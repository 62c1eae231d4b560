"""Reasons why this process may not submit that are no events: mistakes in the catalogue or the accounts, missing or
refused keys, a missing media store or one that takes no file; and a catalogue that may be a wrong one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.wording import counted
from extend_pipeline.engine.guards.keys import refused_here
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import without_room
from extend_pipeline.engine.plan.model import Blocker, Plan
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.declared_keys import withdrawn_with_many
from extend_pipeline.ledger.read.rows import AccountRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.hints.job_queue import WithoutRoom
from extend_pipeline.providers.wire.credentials import variables_of

DOUBT_TODO: Final = (
    "mount the folder, or set EXTEND_PIPELINE_MEDIA_URL to where the films are; if they are really gone, have them "
    "fetched again, which costs nothing: extend-pipeline media refetch"
)
"""What the operator can do when the media store seems not to belong to the ledger."""

WITHDRAWN_TODO: Final = (
    "put them back into the catalogue; or, if they were meant to leave, say so: extend-pipeline approve --withdrawn, "
    "in Dagster partitions_job with remove_many: true"
)
"""What the operator can do when so many videos left the catalogue at once that it may be a mistake."""

MAY_BE_HIDDEN: Final = "a mistake in the files may hide its video"
"""Why a video that the valid part of the catalogue lacks can't be said to have left it."""

MAX_REPORTED: Final = 3  # mistakes in a video's block reason; status lists all of them


def process_blockers(
    pipeline: Pipeline, rows: Mapping[str, AccountRow], waiting: WithoutRoom | None
) -> dict[str, Blocker]:
    """Return the blockers of accounts for which this process may not submit, by account. `rows` are the ledger's
    accounts, and `waiting` is a paid result that the disk did not take: while there is one, nothing is bought."""
    problems = pipeline.configuration.problems
    if not problems:
        if pipeline.store_doubt:
            message = f"nothing is submitted while the media store seems not to be there: {pipeline.store_doubt}"
            return dict.fromkeys(pipeline.accounts, Blocker(BlockReason.MEDIA_STORE, message, DOUBT_TODO))
        if waiting is not None:
            return dict.fromkeys(pipeline.accounts, without_room(waiting.where, waiting.note))
        return key_blockers(pipeline, rows) if pipeline.works else {}
    more = f" … and {len(problems) - MAX_REPORTED} more" if len(problems) > MAX_REPORTED else ""
    lines = " ".join(problem.text() for problem in problems[:MAX_REPORTED])
    message = f"nothing is submitted while the catalogue or the accounts have a mistake: {lines}{more}"
    todo = "correct the file; what is paid for is polled and fetched meanwhile"
    return dict.fromkeys(pipeline.accounts, Blocker(BlockReason.CONFIGURATION, message, todo))


def mistakes(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the mistakes in the files, one line for each."""
    return tuple(problem.text() for problem in pipeline.configuration.problems)


def mistakes_that_may_hide(pipeline: Pipeline) -> list[str]:
    """Return a heading and the mistakes in the files, for a message about videos that aren't found; empty without
    mistakes."""
    wrong = mistakes(pipeline)
    heading = f"{counted(len(wrong), 'mistake')} in the catalogue or the accounts may hide them:"
    return [heading, *wrong] if wrong else []


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """Unfinished videos that left the catalogue with so many others that it may be a mistake, the last of them by the
    ledger's event `seq`. A catalogue with a mistake withdraws none."""

    videos: tuple[str, ...]
    seq: int

    @property
    def message(self) -> str:
        """Return a sentence for the operator."""
        videos = counted(len(self.videos), "unfinished video")
        return f"{videos} left the catalogue at once, which may be a mistake; nothing more is bought for them"


def withdrawn_at_once(pipeline: Pipeline) -> Withdrawn | None:
    """Return the videos whose withdrawal may be a mistake, until they are back or an operator says that it was meant;
    None if there are none."""
    with pipeline.ledger.read() as connection:
        videos = withdrawn_with_many(connection)
    if not videos:
        return None
    return Withdrawn(tuple(video.video_key for video in videos), max(video.seq for video in videos))


def accounts_left_alone(pipeline: Pipeline, plan: Plan) -> tuple[str, ...]:
    """Return one line for each account with work that this process skips because it lacks the account's key."""
    return tuple(f"account {name} is left alone: {fault}" for name, fault in keyless_accounts(pipeline, plan).items())


def keyless_accounts(pipeline: Pipeline, plan: Plan) -> dict[str, str]:
    """Return the accounts with work whose key this process lacks, each with what it lacks."""
    lacking = pipeline.without_key()
    if not lacking:
        return {}
    with pipeline.ledger.read() as connection:
        used = {name for name, _ in queries.open_accounts(connection)}
    used |= {video.account for video in plan.videos if video.state is not VideoState.COMPLETE} | plan.running.keys()
    return {name: fault for name, fault in lacking.items() if name in used}


def key_blockers(pipeline: Pipeline, rows: Mapping[str, AccountRow]) -> dict[str, Blocker]:
    """Return the blockers of accounts whose key this process lacks, or whose key the provider has refused, by
    account."""
    blockers = {}
    for name, fault in pipeline.without_key().items():
        todo = f"set it where this process runs; other processes continue with account {name}"
        blockers[name] = Blocker(BlockReason.NO_KEY, f"account {name} is left alone by this process: {fault}", todo)
    for name in refused_here(pipeline, rows):
        names = " and ".join(variables_of(pipeline.accounts[name]))
        message = f"account {name}: the provider has refused the key that this process has in {names}"
        todo = f"set the right key; if the provider takes this one now: extend-pipeline resume {name}"
        blockers.setdefault(name, Blocker(BlockReason.NO_KEY, message, todo))
    return blockers
