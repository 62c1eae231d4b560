"""Inputs of a plan, built from files as a user writes them and from invented attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.checks.purchase import purchase_digest, words_digest
from extend_pipeline.config.digest import canonical_json
from extend_pipeline.config.load import Configuration, load_configuration
from extend_pipeline.config.model.catalogue import OnChange
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.model import DueStep, PlanInput, SourceView, VideoPlan
from extend_pipeline.ledger.look import LastLook
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import AccountTotals, BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.support.home.engine_home import EngineHome, account
from extend_pipeline_tests.support.ledger.steps import NOON
from extend_pipeline_tests.support.user_texts import check_user_text

S = AttemptState


def configured(folder: Path, entries: Sequence[Mapping[str, Any]], *accounts: Mapping[str, Any]) -> Configuration:
    """Return the configuration of a home with these entries and accounts; without accounts, the default one."""
    home = EngineHome(folder / "planned", None, f"sqlite:///{folder}/none.sqlite")  # type: ignore[arg-type]
    home.write(entries, *(accounts or (account(),)))
    return load_configuration(Settings(home=home.path), PROVIDERS, now=from_ms(NOON))


def given(
    configuration: Configuration,
    *attempts: AttemptRow,
    views: Mapping[str, AccountTotals] | None = None,
    now_ms: int = NOON,
    everything_paused: bool = False,
    accounts: Mapping[str, Any] | None = None,
    sources: Mapping[str, SourceView] | None = None,
    on_change: OnChange = "ask",
    look: LastLook | None = None,
    without_film: Collection[str] = (),
) -> PlanInput:
    """Return the input of a plan of the whole catalogue; `look` is the last look at every attempt."""
    catalogue = configuration.catalogue.videos
    return PlanInput(
        now_ms=now_ms,
        videos=list(catalogue.values()),
        catalogue=catalogue,
        accounts=accounts or configuration.accounts,
        attempts={key: [attempt for attempt in attempts if attempt.video_key == key] for key in catalogue},
        account_totals={
            name: replace((views or {}).get(name, AccountTotals()), everything_paused=everything_paused)
            for name in configuration.accounts
        },
        sources=sources or {},
        on_change=on_change,
        looks={} if look is None else {attempt.attempt_id: look for attempt in attempts},
        without_film=without_film,
    )


def attempt(
    configuration: Configuration, key: str, hop: int = 1, state: AttemptState = S.STORED, **changes: Any
) -> AttemptRow:
    """Return an attempt of a hop with the parameters of the catalogue; a stored one adds 4.5 s."""
    video = configuration.catalogue.videos[key]
    names = chain.digests(video, hop, videos=configuration.catalogue.videos)
    done = state in (S.STORED, S.SUCCEEDED)
    params = video.extend.hop_params(hop)
    parent = getattr(video.source, "source_id", "") if hop == 1 else f"9{hop - 1}"
    known: dict[str, Any] = {
        "attempt_id": f"{key}-{hop}-{state.value}",
        "video_key": key,
        "hop": hop,
        "generation": 1,
        "try_no": 1,
        "chain_digest": names[-1],
        "state": state,
        "submit_class": "A",
        "resubmit_allowed": False,
        "root_video_id": "827",
        "video_id": f"9{hop}" if done else None,
        "film_duration_ms": 5_000 + 4_500 * hop if done else None,
        "completed_at": NOON - 1_000 if done else None,
        "submitted_at": NOON - 2_000,
        "in_doubt_at": NOON - 2_000 if state is S.IN_DOUBT else None,
        "absences": 0,
        "predicted_micros": 2_000_000,
        "account": video.account,
        "parent_attempt_id": f"{key}-{hop - 1}-{S.STORED.value}" if hop > 1 else None,
        "claimed_at": NOON - 3_000,
        "params": canonical_json(params),
        "words": words_digest(params),
        "purchase": purchase_digest(video.provider, parent, params),
    }
    return _row(known | changes)


def stored_from(step: DueStep, added_ms: int) -> AttemptRow:
    """Return the stored attempt of a step that was due."""
    return _row(
        {
            "attempt_id": f"{step.video.key}-{step.hop}-{step.generation}",
            "video_key": step.video.key,
            "hop": step.hop,
            "generation": step.generation,
            "try_no": step.try_no,
            "chain_digest": step.chain_digest,
            "state": S.STORED,
            "submit_class": "A",
            "resubmit_allowed": False,
            "root_video_id": step.root_video_id,
            "video_id": f"{step.parent_video_id}x",
            "film_duration_ms": (step.parent_duration_ms or 0) + added_ms,
            "completed_at": NOON,
            "submitted_at": NOON,
            "absences": 0,
            "predicted_micros": step.predicted_micros,
            "account": step.video.account,
            "parent_attempt_id": step.parent_attempt_id,
            "claimed_at": NOON,
            "params": canonical_json(dict(step.params)),
            "words": words_digest(step.params),
            "purchase": step.purchase,
        }
    )


def _row(known: Mapping[str, Any]) -> AttemptRow:
    """Return an attempt with these columns and no others."""
    return AttemptRow(**{**dict.fromkeys(AttemptRow._fields), **known})


def held(video: VideoPlan, reason: BlockReason, *values: str) -> None:
    """Assert that a video waits for this reason, and that its message has these values and what to do."""
    assert video.due is None
    assert video.blocker is not None
    assert video.blocker.reason is reason, video.blocker
    text = f"{video.blocker.message} → {video.blocker.todo}"
    for value in values:
        assert value in text
    assert video.blocker.todo
    check_user_text(text)
    assert video.state is (VideoState.BLOCKED if reason.needs_person else VideoState.WAITING)
