"""Texts of runs in Dagster's UI: a line a round, and a failure that names the missing videos, the reasons, and what to
do."""

from collections.abc import Sequence
from logging import Logger
from typing import Final

import dagster as dg

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import counted, first_lines, first_names
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import Round
from extend_pipeline.engine.guards.clock import describe_ahead
from extend_pipeline.engine.plan.model import VideoPlan

MAX_REPORTED: Final = 20  # in one failure; the count is always exact
_REST: Final = ": extend-pipeline status"


def log_round(log: Logger, now: Round, settings: Settings) -> None:
    """Log what a round did; nothing if it did nothing."""
    if (disk_error := now.collected.disk_error or now.disk_error) is not None:
        log.error(str(disk_error))
    warnings = []
    if now.ledger_ahead_ms:
        warnings.append(describe_ahead(now.ledger_ahead_ms))
    if now.mistakes:
        lines = "\n".join(now.mistakes)
        warnings.append(f"nothing is submitted until this is corrected; paid results are still fetched:\n{lines}")
    warnings += now.left_alone
    if now.plan.ledger is not None:
        warnings.append(f"nothing is submitted: {now.plan.ledger.describe()}")
    warnings += [lower.message for lower in now.lower_prices]
    for warning in warnings:
        log.warning(settings.with_home(warning))
    done = {
        "submitted": now.submitted.accepted,
        "refused": now.submitted.rejected,
        "in doubt": [*now.submitted.in_doubt, *now.recovered.put_in_doubt],
        "found again": now.recovered.found,
        "released": [*now.recovered.released, *now.recovered.proved_absent],
        "finished upstream": now.polled.succeeded,
        "failed upstream": now.polled.failed,
        "stored": now.collected.stored,
        "not fetched yet": now.collected.failed,
        "lost": now.collected.lost,
        "quarantined": now.collected.quarantined,
    }
    parts = [f"{what}: {first_names(places)}" for what, places in done.items() if places]
    if parts:
        unfinished = len(now.plan.unfinished) + sum(now.plan.running.values())
        log.info(f"{'; '.join(parts)} | {unfinished} in progress, {len(now.plan.needs_person)} waiting for an operator")


def summarize_mistakes(mistakes: Sequence[str]) -> str:
    """Return the message of a tick about mistakes in the files; empty if there are none."""
    if not mistakes:
        return ""
    more = f"; {len(mistakes) - 1} more" if len(mistakes) > 1 else ""
    return f"nothing is submitted until this is corrected: {mistakes[0]}{more}"


def list_mistakes(mistakes: Sequence[str]) -> str:
    """Return every mistake in the files, a line each, after what goes on meanwhile; empty if there are none."""
    if not mistakes:
        return ""
    head = (
        f"{counted(len(mistakes), 'mistake')} in the catalogue or the accounts; until this is corrected nothing is "
        f"submitted, and the last good catalogue holds:"
    )
    return "\n".join([head, *first_lines(mistakes, MAX_REPORTED, rest=_REST)])


def partial_end(
    what: str,
    missing: Sequence[VideoPlan],
    unknown: Sequence[str],
    hidden: Sequence[str],
    *,
    chosen: int,
    timezone: str,
    settings: Settings,
    mistakes: Sequence[str] = (),
) -> dg.Failure:
    """Return a run's failure: which of the chosen videos are missing, why, what to do, and every mistake in the files.
    `hidden` are those whose entries can't be used because of a mistake. Finished work is kept. Times are in `timezone`
    (an IANA name)."""
    lines = [f"{key}: it is not in the catalogue → restore it, or leave the partition out" for key in unknown]
    lines += [f"{key}: a mistake in the files hides it → correct the file" for key in hidden]
    lines += [f"{video.key}: {why(video, timezone)}" for video in missing]
    count = len(lines)
    failed = f"{count} of {counted(chosen, 'video')} {what}"
    head = f"{failed}; finished work is kept, and running it again pays for nothing twice:"
    shown = [head, *first_lines(lines, MAX_REPORTED, rest=_REST)]
    if mistakes:
        shown.append(f"{counted(len(mistakes), 'mistake')} in the catalogue or the accounts; nothing was submitted:")
        shown += mistakes
    keys = [*unknown, *hidden, *(video.key for video in missing)]
    metadata = {"missing": dg.MetadataValue.int(count), "first": dg.MetadataValue.text(", ".join(keys[:MAX_REPORTED]))}
    return dg.Failure(settings.with_home("\n".join(shown)), metadata=metadata, allow_retries=False)


def why(video: VideoPlan, timezone: str) -> str:
    """Return why a video is not done, and what to do. Times are in `timezone` (an IANA name)."""
    so_far = f"{counted(video.hops_done, 'hop')} done"
    if video.blocker is not None:
        return in_zone(f"{so_far}; {video.blocker.describe()}", timezone)
    if video.running is not None:
        return f"{so_far}, hop {video.running.hop} is {video.running.state.value} → the time was up; run it again"
    return f"{so_far} → the time was up; run it again"
