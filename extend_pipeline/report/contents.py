"""Read what a report shows from the published file. Sums are those of the views, exact; nothing is read whole: lists
end at a limit, and say how many rows they leave out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from extend_pipeline.base.days import in_zone
from extend_pipeline.ledger.states import WITHDRAWN_WITH_MANY
from extend_pipeline.warehouse.definitions import schema_version
from extend_pipeline.warehouse.errors import WarehouseError
from extend_pipeline.warehouse.read import reading

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DAYS: Final = 60
"""Days of a chart at most, up to the one of the publish. Each is a bar of six pixels."""

MIN_DAYS: Final = 14
"""Days of a chart at least, also where work has begun later."""

MAX_ROWS: Final = 50
"""Rows of a table, of each currency where it has several."""

MAX_NEEDS: Final = 10
"""Rows of what waits for a person: `extend-pipeline status` has all, as it is now."""


@dataclass(frozen=True, slots=True)
class Money:
    """What one currency was spent on: in total, and by what the amounts are based on."""

    currency: str
    spent: Decimal
    reported: Decimal
    billed: Decimal
    estimated: Decimal
    reserved: Decimal
    without_result: Decimal


@dataclass(frozen=True, slots=True)
class DayCost:
    """What an account spent on a budget day."""

    day: date
    account: str
    currency: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class DaySeconds:
    """The measured seconds that were stored on a day of the home's time zone."""

    day: date
    seconds: Decimal


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account with one unit and currency. How attempts ended is counted over all units of the account."""

    account: str
    provider: str
    unit: str
    currency: str
    hops: int
    failed: int
    lost: int
    spent_units: Decimal
    spent: Decimal
    without_result: Decimal
    reserved: Decimal
    added_s: Decimal | None
    per_second: Decimal | None
    per_second_with_failures: Decimal | None


@dataclass(frozen=True, slots=True)
class VideoRow:
    """What an account spent on a video by one provider, in one unit and currency. The provider is None where the
    account has never had another one. Length and state are None for a video that the catalogue never had."""

    video_key: str
    account: str
    provider: str | None
    currency: str
    hops: int
    spent: Decimal
    reserved: Decimal
    per_second: Decimal | None
    state: str | None
    before_s: Decimal | None
    now_s: Decimal | None


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """Videos of an account that wait for a person for the same reason: how many, and the first keys."""

    account: str
    reason: str
    detail: str
    videos: int
    first_keys: list[str]


@dataclass(frozen=True, slots=True)
class DoubtRow:
    """An attempt of which it is unknown whether it was charged."""

    video_key: str
    hop: int
    account: str
    amount: Decimal
    currency: str
    in_doubt_at: datetime | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The videos by state, and their hops and seconds. A branch declares no length, and is not in `before_s` and
    `now_s`."""

    videos: int
    complete: int
    growing: int
    blocked: int
    withdrawn: int
    hops: int
    unmeasured_hops: int
    before_s: Decimal
    now_s: Decimal
    without_length: int
    added_s: Decimal


@dataclass(frozen=True, slots=True)
class Contents:
    """All that a report shows, of one published file. Times are in `timezone`; `first_day` and `last_day` are those of
    the charts. Accounts and videos are at most `MAX_ROWS` (of each currency), what waits at most `MAX_NEEDS`, and the
    counts tell how many there are."""

    timezone: str
    published_at: datetime
    ledger_seq: int
    ledger_event: str
    first_day: date
    last_day: date
    totals: Totals
    money: list[Money]
    day_costs: list[DayCost]
    day_seconds: list[DaySeconds]
    accounts: list[AccountRow]
    account_count: int
    videos: list[VideoRow]
    video_counts: dict[str, int]
    blocked: list[BlockedRow]
    blocked_count: int
    doubts: list[DoubtRow]
    doubt_count: int


_META: Final = "SELECT published_at, ledger_seq, ledger_event, schema_version, package_version FROM _meta"
NEEDS_PERSON: Final = f"state = 'blocked' OR state_reason = '{WITHDRAWN_WITH_MANY}'"
"""The condition of a video that waits for a person, as the page shows it too."""

_STATES: Final = f"""
    SELECT CASE WHEN {NEEDS_PERSON} THEN 'blocked' ELSE state END, count(*) FROM source_videos GROUP BY ALL
"""  # noqa: S608 - a constant
_LENGTHS: Final = """
    SELECT
        coalesce(sum(duration_s), 0),
        coalesce(sum(coalesce(current_duration_s, duration_s)) FILTER (duration_s IS NOT NULL), 0),
        count(*) FILTER (duration_s IS NULL)
    FROM source_videos
"""
_HOPS: Final = """
    SELECT
        CAST(coalesce(sum(extensions), 0) AS BIGINT),
        CAST(coalesce(sum(unmeasured_extensions), 0) AS BIGINT),
        coalesce(sum(added_s), 0)
    FROM cost_per_second
"""
_MONEY: Final = """
    SELECT c.currency, c.spent, coalesce(b.reported, 0), coalesce(b.billed, 0), coalesce(b.estimated, 0), c.reserved,
        c.without_result
    FROM (
        SELECT currency, sum(spent_amount) AS spent, sum(reserved_amount) AS reserved,
            sum(amount_without_result) AS without_result
        FROM cost_by_account GROUP BY currency
    ) AS c
    LEFT JOIN (
        SELECT "BillingCurrency" AS currency,
            sum("BilledCost") FILTER ("x_Basis" = 'reported') AS reported,
            sum("BilledCost") FILTER ("x_Basis" = 'billed') AS billed,
            sum("BilledCost") FILTER ("x_Basis" = 'estimated') AS estimated
        FROM focus_1_2 GROUP BY "BillingCurrency"
    ) AS b ON b.currency = c.currency
    ORDER BY c.currency
"""
_DAY_COSTS: Final = """
    SELECT day, account, currency, sum(spent_amount) AS spent
    FROM cost_by_day WHERE day BETWEEN ? AND ?
    GROUP BY day, account, currency HAVING spent <> 0 ORDER BY day, currency, account
"""
_DAY_SECONDS: Final = """
    SELECT CAST(stored_at AS DATE) AS day, sum(added_duration_s) AS added
    FROM completed_extensions WHERE day BETWEEN ? AND ?
    GROUP BY day HAVING added IS NOT NULL ORDER BY day
"""
_ACCOUNTS: Final = """
    WITH highest AS (
        SELECT *, row_number() OVER (PARTITION BY currency ORDER BY spent_amount DESC, account, provider, unit) AS place
        FROM cost_per_second QUALIFY place <= ?
    )
    SELECT s.account, s.provider, s.unit, s.currency, s.extensions, coalesce(r.failed, 0), coalesce(r.lost, 0),
        s.spent_units, s.spent_amount, c.amount_without_result, c.reserved_amount, s.added_s, s.amount_per_second,
        s.amount_per_second_with_failures
    FROM highest AS s
    JOIN cost_by_account AS c
        ON c.account = s.account AND c.provider = s.provider AND c.unit = s.unit AND c.currency = s.currency
    LEFT JOIN success_rates AS r ON r.account = s.account AND r.provider = s.provider
    ORDER BY s.currency, s.place
"""
_ACCOUNT_COUNT: Final = "SELECT count(*) FROM cost_by_account"
_VIDEOS: Final = """
    WITH highest AS (
        SELECT video_key, account, provider, currency, extensions, spent_amount, reserved_amount, amount_per_second,
            row_number() OVER (
                PARTITION BY currency ORDER BY spent_amount DESC, video_key, account, provider, unit
            ) AS place
        FROM cost_by_video QUALIFY place <= ?
    ),
    of_several AS (
        SELECT account FROM cost_by_account GROUP BY account HAVING count(DISTINCT provider) > 1
    )
    SELECT d.video_key, d.account, CASE WHEN o.account IS NOT NULL THEN d.provider END, d.currency, d.extensions,
        d.spent_amount, d.reserved_amount, d.amount_per_second, v.state, v.duration_s, v.current_duration_s
    FROM highest AS d
    LEFT JOIN of_several AS o ON o.account = d.account
    LEFT JOIN source_videos AS v ON v.video_key = d.video_key
    ORDER BY d.currency, d.place
"""
_VIDEO_COUNTS: Final = "SELECT currency, count(*) FROM cost_by_video GROUP BY currency"
_BLOCKED: Final = f"""
    SELECT account, coalesce(state_reason, ''), coalesce(state_detail, ''), count(*) AS videos,
        min(video_key, 5) AS first_keys
    FROM source_videos WHERE {NEEDS_PERSON}
    GROUP BY ALL ORDER BY videos DESC, first_keys LIMIT ?
"""  # noqa: S608 - a constant
_BLOCKED_COUNT: Final = f"""
    SELECT count(*) FROM (
        SELECT DISTINCT account, state_reason, state_detail FROM source_videos WHERE {NEEDS_PERSON}
    )
"""  # noqa: S608 - a constant
_DOUBTS: Final = """
    SELECT video_key, hop, account, exposure_amount, currency, in_doubt_at FROM in_doubt
    ORDER BY in_doubt_at, attempt_id LIMIT ?
"""
_DOUBT_COUNT: Final = "SELECT count(*) FROM in_doubt"


def read_contents(target: Path, *, timezone: str) -> Contents:
    """Return what a report about the published file shows, with days and times of a time zone (an IANA name). All of it
    is of one file, also if another one is published meanwhile.

    Raises NotPublishedError; WarehouseError if it is no warehouse, or one of another version that lacks a view.
    """
    import duckdb

    with reading(target, timezone=timezone) as connection:
        about: tuple[Any, ...] | None = None
        try:
            about = connection.execute(_META).fetchone()
            if about is None:
                raise WarehouseError(f"{target} has never been filled; run extend-pipeline publish")
            return _read(connection, about, timezone)
        except duckdb.Error as error:
            if about is not None and about[3] != schema_version():
                raise WarehouseError(
                    f"{target} was published by version {about[4]}; run extend-pipeline publish"
                ) from None
            raise WarehouseError(
                f"{target} can't be read: {error}. Remove it and run extend-pipeline publish."
            ) from None


def _read(connection: DuckDBPyConnection, about: tuple[Any, ...], timezone: str) -> Contents:
    zone = ZoneInfo(timezone)
    published_at = about[0].astimezone(zone)
    last_day = published_at.date()
    window = (last_day - timedelta(days=DAYS - 1), last_day)

    def rows(sql: str, *params: Any) -> list[tuple[Any, ...]]:
        return connection.execute(sql, params).fetchall()

    day_costs = [DayCost(*row) for row in rows(_DAY_COSTS, *window)]
    day_seconds = [DaySeconds(*row) for row in rows(_DAY_SECONDS, *window)]
    first_day = min(
        [last_day - timedelta(days=MIN_DAYS - 1), *(row.day for row in day_costs), *(row.day for row in day_seconds)]
    )
    doubts = [DoubtRow(*row) for row in rows(_DOUBTS, MAX_NEEDS)]
    return Contents(
        timezone=timezone,
        published_at=published_at,
        ledger_seq=about[1],
        ledger_event=about[2],
        first_day=first_day,
        last_day=window[1],
        totals=_totals(rows),
        money=[Money(*row) for row in rows(_MONEY)],
        day_costs=day_costs,
        day_seconds=day_seconds,
        accounts=[AccountRow(*row) for row in rows(_ACCOUNTS, MAX_ROWS)],
        account_count=rows(_ACCOUNT_COUNT)[0][0],
        videos=[VideoRow(*row) for row in rows(_VIDEOS, MAX_ROWS)],
        video_counts=dict(rows(_VIDEO_COUNTS)),
        blocked=[
            BlockedRow(account, reason, in_zone(detail, timezone), videos, keys)
            for account, reason, detail, videos, keys in rows(_BLOCKED, MAX_NEEDS)
        ],
        blocked_count=rows(_BLOCKED_COUNT)[0][0],
        doubts=[replace(row, in_doubt_at=row.in_doubt_at and row.in_doubt_at.astimezone(zone)) for row in doubts],
        doubt_count=rows(_DOUBT_COUNT)[0][0],
    )


def _totals(rows: Callable[..., list[tuple[Any, ...]]]) -> Totals:
    states: dict[str, int] = dict(rows(_STATES))
    ((before_s, now_s, without_length),) = rows(_LENGTHS)
    ((hops, unmeasured, added_s),) = rows(_HOPS)
    ended = {state: states.pop(state, 0) for state in ("complete", "blocked", "withdrawn")}
    growing = sum(states.values())
    return Totals(
        videos=growing + sum(ended.values()),
        growing=growing,
        **ended,
        hops=hops,
        unmeasured_hops=unmeasured,
        before_s=before_s,
        now_s=now_s,
        without_length=without_length,
        added_s=added_s,
    )
