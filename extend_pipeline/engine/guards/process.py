"""What keeps this process from submitting, whatever the ledger says: mistakes in the catalogue or the accounts, keys
that it lacks or that the provider has refused, and a media store that is not there."""

from __future__ import annotations

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
"""What a person may do where the media store seems not to be the ledger's."""

MAX_REPORTED: Final = 3  # mistakes that a video's reason names; status tells all of them


def held_accounts(pipeline: Pipeline, rows: Mapping[str, AccountRow]) -> dict[str, Blocker]:
    """Return why nothing is submitted for an account, by account; accounts that may submit are left out. `rows` are the
    accounts as the ledger has them."""
    problems = pipeline.configuration.problems
    if not problems:
        if pipeline.store_doubt:
            message = f"nothing is submitted while the media store seems not to be there: {pipeline.store_doubt}"
            return dict.fromkeys(pipeline.accounts, Blocker(BlockReason.MEDIA_STORE, message, DOUBT_TODO))
        return _without_a_good_key(pipeline, rows) if pipeline.works else {}
    more = f" … and {len(problems) - MAX_REPORTED} more" if len(problems) > MAX_REPORTED else ""
    lines = " ".join(problem.text() for problem in problems[:MAX_REPORTED])
    message = f"nothing is submitted while the catalogue or the accounts have a mistake: {lines}{more}"
    todo = "correct the file; what is paid for is polled and fetched meanwhile"
    return dict.fromkeys(pipeline.accounts, Blocker(BlockReason.CONFIGURATION, message, todo))


def mistakes(pipeline: Pipeline) -> tuple[str, ...]:
    """Return what is wrong with the files, one line a mistake."""
    return tuple(problem.text() for problem in pipeline.configuration.problems)


def accounts_left_alone(pipeline: Pipeline, plan: Plan) -> tuple[str, ...]:
    """Return the accounts with work that this process leaves alone because it lacks their key, one line each."""
    lacking = pipeline.without_key()
    if not lacking:
        return ()
    with pipeline.ledger.read() as connection:
        used = {name for name, _ in queries.open_accounts(connection)}
    used |= {video.account for video in plan.videos if video.state is not VideoState.COMPLETE}
    return tuple(f"account {name} is left alone: {fault}" for name, fault in lacking.items() if name in used)


def _without_a_good_key(pipeline: Pipeline, rows: Mapping[str, AccountRow]) -> dict[str, Blocker]:
    held = {}
    for name, fault in pipeline.without_key().items():
        todo = f"set it where this process runs; other processes go on with account {name}"
        held[name] = Blocker(BlockReason.NO_KEY, f"account {name} is left alone by this process: {fault}", todo)
    for name in refused_here(pipeline, rows):
        names = " and ".join(variables_of(pipeline.accounts[name]))
        message = f"account {name}: the provider has refused the key that this process has in {names}"
        todo = f"set the right key; if the provider takes this one now: extend-pipeline resume {name}"
        held.setdefault(name, Blocker(BlockReason.NO_KEY, message, todo))
    return held
