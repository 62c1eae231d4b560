"""Which videos `plan` and `status` show: the arguments and options of both, and the choice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import click

from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.render.videos import DUE, MANY, state_or_due
from extend_pipeline.commands.shared.names import NAME, require_account, require_videos
from extend_pipeline.config.issues import shorten_value
from extend_pipeline.config.model.catalogue import Catalogue
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.ledger.states import VideoState

STATES: Final = (DUE, *(state.value for state in VideoState if state not in (VideoState.NEW, VideoState.WITHDRAWN)))
"""The states of a planned video, as tables show them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which videos are shown: all that fit every filter; an empty filter fits all. Unless `everything` is asked for, a
    long list is shortened, see `shown_of`."""

    keys: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    needs_you: bool = False
    everything: bool = False

    @property
    def is_narrow(self) -> bool:
        """Return whether a filter is set."""
        return bool(self.keys or self.accounts or self.states or self.needs_you)

    def require_known(self, pipeline: Pipeline, *, may_be_hidden: bool) -> None:
        """Raise click.UsageError if the files lack a key or an account. While a mistake in them may hide it, say that
        on stderr instead."""
        videos, accounts = pipeline.configuration.catalogue.videos, pipeline.accounts
        if not may_be_hidden:
            require_videos(self.keys, pipeline)
            for name in self.accounts:
                require_account(name, accounts)
            return
        for kind, names, known in (("video", self.keys, videos), ("account", self.accounts, accounts)):
            for name in names:
                if name not in known:
                    lacking = f"{kind} {shorten_value(name)} is not among the valid entries"
                    say(f"{lacking}: a mistake in the files may hide it, or it is misspelt", err=True)

    def may_be_brief(self, catalogue: Catalogue) -> bool:
        """Return whether no complete video is shown, so that it is enough to count them."""
        lists_complete = self.everything or self.keys or self.accounts or VideoState.COMPLETE.value in self.states
        return not lists_complete and len(catalogue.videos) > MANY

    def of(self, plan: Plan) -> Plan:
        """Return a plan of the videos that fit every filter, in their order."""
        if not self.is_narrow:
            return plan
        return replace(plan, videos=tuple(video for video in plan.videos if self._fits(video)), complete={})

    def _fits(self, video: VideoPlan) -> bool:
        return (
            (not self.keys or video.key in self.keys)
            and (not self.accounts or video.account in self.accounts)
            and (not self.states or state_or_due(video) in self.states)
            and (not self.needs_you or video.needs_person)
        )


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the arguments VIDEO… and the options that choose videos; the command gets them as `selection`."""

    @click.argument("videos", nargs=-1, type=NAME, metavar="[VIDEO]...")
    @click.option("--account", "accounts", multiple=True, type=NAME, help="Only videos of this account. Repeatable.")
    @click.option(
        "--state", "states", multiple=True, type=click.Choice(STATES), help="Only videos in this state. Repeatable."
    )
    @click.option("--needs-you", is_flag=True, help="Only videos that wait for a person.")
    @click.option("--all", "everything", is_flag=True, help="Every video, however many there are.")
    @functools.wraps(command)
    def with_selection(
        *arguments: Any,
        videos: tuple[str, ...],
        accounts: tuple[str, ...],
        states: tuple[str, ...],
        needs_you: bool,
        everything: bool,
        **options: Any,
    ) -> Any:
        selection = Selection(videos, accounts, states, needs_you, everything)
        return command(*arguments, selection=selection, **options)

    return with_selection
