"""What runs say in Dagster's UI: a line a round, and a failure that names what is missing, why, and what to do."""

from collections.abc import Sequence
from logging import Logger
from typing import Final

import dagster as dg

from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.advance import Round
from extend_pipeline.engine.guards.clock import describe_ahead
from extend_pipeline.engine.plan.model import VideoPlan

MAX_NAMES: Final = 5  # in one log line
MAX_REPORTED: Final = 20  # in one failure; the count is always exact


def tell_round(log: Logger, now: Round) -> None:
    """Say what a round did; nothing where nothing happened."""
    if (disk_error := now.collected.disk_error or now.disk_error) is not None:
        log.error(str(disk_error))
    if now.ledger_ahead_ms:
        log.warning(describe_ahead(now.ledger_ahead_ms))
    if now.mistakes:
        lines = "\n".join(now.mistakes)
        log.warning(f"nothing is submitted until this is corrected; what is paid for is fetched:\n{lines}")
    for line in now.left_alone:
        log.warning(line)
    if now.plan.ledger is not None:
        log.warning(f"nothing is submitted: {now.plan.ledger.message} → {now.plan.ledger.todo}")
    for lower in now.lower_prices:
        log.warning(lower.message)
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
    told = [f"{word}: {names(where)}" for word, where in done.items() if where]
    if told:
        going = len(now.plan.unfinished)
        log.info(f"{'; '.join(told)} | {going} going on, {len(now.plan.needs_person)} waiting for a person")


def mistakes_in_short(wrong: Sequence[str]) -> str:
    """Return what a tick says of mistakes in the files; empty where there is none."""
    if not wrong:
        return ""
    more = f"; {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"nothing is submitted until this is corrected: {wrong[0]}{more}"


def names(where: Sequence[str]) -> str:
    """Return the first few by name, and how many there are."""
    more = len(where) - MAX_NAMES
    return ", ".join(where[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def partial_end(
    what: str,
    missing: Sequence[VideoPlan],
    unknown: Sequence[str],
    *,
    chosen: int,
    timezone: str,
    mistakes: Sequence[str] = (),
) -> dg.Failure:
    """Return a run's failure: which of the chosen videos are missing, why, and what to do. What was done is kept.
    Mistakes in the files are all told. Times are those of `timezone` (an IANA name)."""
    lines = [f"{key}: it is not in the catalogue → put it back, or leave the partition alone" for key in unknown]
    lines += [f"{video.key}: {why(video, timezone)}" for video in missing]
    count = len(lines)
    failed = f"{count} of {counted(chosen, 'video')} {what}"
    head = f"{failed}; what was done is kept, and starting again pays for nothing twice:"
    more = [f"… and {count - MAX_REPORTED} more: extend-pipeline status"] if count > MAX_REPORTED else []
    if mistakes:
        more += [
            f"{counted(len(mistakes), 'mistake')} in the catalogue or the accounts; nothing was submitted:",
            *mistakes,
        ]
    keys = [*unknown, *(video.key for video in missing)]
    metadata = {"missing": dg.MetadataValue.int(count), "first": dg.MetadataValue.text(", ".join(keys[:MAX_REPORTED]))}
    return dg.Failure("\n".join([head, *lines[:MAX_REPORTED], *more]), metadata=metadata, allow_retries=False)


def why(video: VideoPlan, timezone: str) -> str:
    """Return why a video is not done, and what to do; times are those of `timezone` (an IANA name)."""
    so_far = f"{counted(video.hops_done, 'hop')} done"
    if video.blocker is not None:
        return in_zone(f"{so_far}; {video.blocker.message} → {video.blocker.todo}", timezone)
    if video.running is not None:
        return f"{so_far}, hop {video.running.hop} is {video.running.state.value} → the time was up; run it again"
    return f"{so_far} → the time was up; run it again"
