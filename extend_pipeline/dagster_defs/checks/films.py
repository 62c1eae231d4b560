"""Asset checks on the films themselves, by the published tables. Both report the films of a month, because one that was
looked at would keep them yellow for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.model.target import TOLERANCE_MS
from extend_pipeline.dagster_defs.checks.outcome import outcome
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.states import ADOPTED
from extend_pipeline.media.analysis.seam import PREFIX_DB
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.warehouse.read import query_errors, reading

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

RECENT_DAYS: Final = 30
"""How long a film is reported after it was stored. The checks' docstrings, which the UI shows, name it too."""

SLACK_MS: Final = 500  # encoders end a film up to some frames early or late

# adopted tasks are left out, because they were not requested here
_NOT_AS_PROMISED: Final = """
    SELECT video_key, hop, added_duration_s, stored_at FROM completed_extensions
    WHERE provider = ? AND NOT starts_with(video_key, ?)
        AND coalesce(added_duration_s * 1000 NOT BETWEEN ? AND ?, true)
"""
_TOO_SHORT: Final = f"""
    SELECT video_key, current_duration_s, target_s, max(stored_at) AS stored_at
    FROM source_videos JOIN completed_extensions USING (video_key)
    WHERE state = 'complete' AND current_duration_s + {TOLERANCE_MS / 1000} < target_s
    GROUP BY video_key, current_duration_s, target_s
"""  # noqa: S608 - a number
_BROKEN_SEAMS: Final = """
    SELECT video_key, hop, seam_psnr_db, stored_at FROM completed_extensions
    WHERE output_kind = 'full' AND seam_psnr_db IS NOT NULL AND (NOT parent_is_prefix OR seam_psnr_db < ?)
"""

_Rows = list[tuple[Any, ...]]


def durations_grew(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Every extension added the length that the provider promises, and complete videos have the requested length. Of
    videos in the catalogue, with a film of the last 30 days; `findings_in_all` counts the others too."""
    odd, since = _Rows(), _since(pipeline)
    with reading(pipeline.settings.warehouse_path) as connection, query_errors():
        short, in_all = _recent(connection, since, _TOO_SHORT)
        for (provider,) in connection.execute("SELECT DISTINCT provider FROM completed_extensions").fetchall():
            least_ms, most_ms = spec_of(provider).added_ms(None)
            params = [provider, f"{ADOPTED}:", least_ms - SLACK_MS, most_ms + SLACK_MS]
            rows, count = _recent(connection, since, _NOT_AS_PROMISED, params)
            odd, in_all = odd + rows, in_all + count
    odd.sort(key=lambda row: row[-1], reverse=True)
    grown = [f"{key}/{hop}: added {'an unknown length' if s is None else f'{s} s'}" for key, hop, s, _ in odd]
    ended = [f"{key}: complete at {now} s, {target_s} s were requested" for key, now, target_s, _ in short]
    return outcome(
        grown + ended,
        "watch the film; if it is not what was paid for, ask the provider to refund the units",
        dg.AssetCheckSeverity.WARN,
        more={"findings_in_all": in_all},
    )


def seams_hold(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Full films begin with their parent, by their video frames. Films that could not be compared are left out. Of
    videos in the catalogue, films of the last 30 days; `findings_in_all` counts the others too."""
    with reading(pipeline.settings.warehouse_path) as connection, query_errors():
        broken, in_all = _recent(connection, _since(pipeline), _BROKEN_SEAMS, [PREFIX_DB])
    return outcome(
        [f"{key}/{hop}: {psnr} dB to its parent, {PREFIX_DB:g} are expected" for key, hop, psnr, _ in broken],
        "look at the poster and the film: the provider may have changed the parent's video frames",
        dg.AssetCheckSeverity.WARN,
        more={"findings_in_all": in_all},
    )


def _since(pipeline: Pipeline) -> datetime:
    return from_ms(pipeline.now_ms()) - timedelta(days=RECENT_DAYS)


def _recent(
    connection: DuckDBPyConnection, since: datetime, films: str, params: Sequence[Any] = ()
) -> tuple[_Rows, int]:
    """Return those of the films (a SELECT) that were stored since then and whose video is in the catalogue, the newest
    first, and how many there are in all. A million are read in some hundredths of a second."""
    recent = connection.execute(
        f"SELECT films.* FROM ({films}) AS films JOIN source_videos USING (video_key)"  # noqa: S608 - films are ours
        " WHERE state <> 'withdrawn' AND stored_at >= ? ORDER BY stored_at DESC, video_key",
        [*params, since],
    ).fetchall()
    in_all = connection.execute(f"SELECT count(*) FROM ({films})", params).fetchone()  # noqa: S608
    assert in_all is not None
    return recent, int(in_all[0])
