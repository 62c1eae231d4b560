"""Reasons why this process may not submit that don't come from the ledger: mistakes in the catalogue or the accounts,
missing or refused keys, and a missing media store."""

from collections.abc import Mapping
from typing import Final

from extend_pipeline.engine.guards.keys import refused_here
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.model import Blocker, Plan
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.rows import AccountRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.wire.credentials import variables_of

DOUBT_TODO: Final = (
    "mount the folder, or set EXTEND_PIPELINE_MEDIA_URL to where the films are; if they are really gone, have them "
    "fetched again, which costs nothing: extend-pipeline media refetch"
)
"""What the operator can do when the media store seems not to belong to the ledger."""

MAX_REPORTED: Final = 3  # mistakes in a video's block reason; status lists all of them


def process_blockers(pipeline: Pipeline, rows: Mapping[str, AccountRow]) -> dict[str, Blocker]:
    """Return the blockers of accounts for which this process may not submit, by account. `rows` are the ledger's
    accounts."""
    problems = pipeline.configuration.problems
    if not problems:
        if pipeline.store_doubt:
            message = f"nothing is submitted while the media store seems not to be there: {pipeline.store_doubt}"
            return dict.fromkeys(pipeline.accounts, Blocker(BlockReason.MEDIA_STORE, message, DOUBT_TODO))
        return key_blockers(pipeline, rows) if pipeline.works else {}
    more = f" … and {len(problems) - MAX_REPORTED} more" if len(problems) > MAX_REPORTED else ""
    lines = " ".join(problem.text() for problem in problems[:MAX_REPORTED])
    message = f"nothing is submitted while the catalogue or the accounts have a mistake: {lines}{more}"
    todo = "correct the file; what is paid for is polled and fetched meanwhile"
    return dict.fromkeys(pipeline.accounts, Blocker(BlockReason.CONFIGURATION, message, todo))


def mistakes(pipeline: Pipeline) -> tuple[str, ...]:
    """Return the mistakes in the files, one line for each."""
    return tuple(problem.text() for problem in pipeline.configuration.problems)


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
