"""The sums that the views of costs are made of, kept up by every publish for the videos and days that changed. Programs
read the views; these tables may change with every version."""

# ruff: noqa: S608 - what is put together is a condition of our own

from typing import Final

from extend_pipeline.warehouse.columns import AMOUNT, UNITS, Column, TableSchema, derived
from extend_pipeline.warehouse.schema import CHANGED_ATTEMPTS, CHANGED_VIDEOS

_SUM: Final = "DECIMAL(38,6)"


def _sums(entries: str, prefix: str) -> tuple[Column, Column]:
    """Return the columns of units and amounts of some entries, 0 where there are none."""
    return (
        _sum(f"{prefix}_units", "units", f"entry IN {entries}"),
        _sum(f"{prefix}_amount", "amount", f"entry IN {entries}"),
    )


def _sum(name: str, column: str, condition: str) -> Column:
    return derived(name, _SUM, f"{column} where {condition}", f"coalesce(sum({column}) FILTER ({condition}), 0)")


def _key(name: str, type_: str = "VARCHAR") -> Column:
    return derived(name, type_, "what is summed up together", name)


_SPENT: Final = _sums("('settle', 'adjust')", "spent")
_RESERVED: Final = _sums("('reserve', 'release')", "reserved")
_ATTEMPTS: Final = derived(
    "attempts", "BIGINT", "attempts, each of which begins with one reserve entry", "count(*) FILTER (entry = 'reserve')"
)

VIDEO_COSTS: Final = TableSchema(
    name="_video_costs",
    description="Charges of each video, by account, provider, unit and currency.",
    changed=CHANGED_VIDEOS,
    rows=f"""(
        SELECT c.*, c.attempt_id IN (
            SELECT attempt_id FROM extension_requests
            WHERE state IN ('failed', 'result_lost', 'quarantined', 'written_off') AND {CHANGED_VIDEOS}
        ) AS without_result
        FROM (FROM charges WHERE {CHANGED_VIDEOS}) AS c
    ) AS charged GROUP BY video_key, account, provider, unit, currency""",
    columns=(
        *map(_key, ("video_key", "account", "provider", "unit", "currency")),
        *_SPENT,
        *_RESERVED,
        _sum("amount_without_result", "amount", "entry IN ('settle', 'adjust') AND without_result"),
        _ATTEMPTS,
    ),
)

_MEASURED: Final = "added_duration_s IS NOT NULL"

VIDEO_EXTENSIONS: Final = TableSchema(
    name="_video_extensions",
    description="Stored extensions of each video, by account, provider, unit and currency.",
    changed=CHANGED_VIDEOS,
    rows=f"completed_extensions WHERE {CHANGED_VIDEOS} GROUP BY video_key, account, provider, unit, currency",
    columns=(
        *map(_key, ("video_key", "account", "provider", "unit", "currency")),
        derived("extensions", "BIGINT", "stored extensions", "count(*)"),
        derived("unmeasured_extensions", "BIGINT", "those of unknown length", f"count(*) FILTER (NOT {_MEASURED})"),
        derived("added_s", "DECIMAL(38,3)", "length that was added, measured", "sum(added_duration_s)"),
        derived("measured_units", _SUM, "units of the measured ones", f"sum(units) FILTER ({_MEASURED})"),
        derived("measured_amount", _SUM, "amount of the measured ones", f"sum(amount) FILTER ({_MEASURED})"),
    ),
)

DAY_COSTS: Final = TableSchema(
    name="_day_costs",
    description="Charges of each budget day, by account, provider, unit and currency.",
    changed="budget_day IN (SELECT budget_day FROM changed_days)",
    rows="charges WHERE budget_day IN (SELECT budget_day FROM changed_days)"
    " GROUP BY budget_day, budget_timezone, account, provider, unit, currency",
    columns=(
        _key("budget_day", "DATE"),
        *map(_key, ("budget_timezone", "account", "provider", "unit", "currency")),
        *_SPENT,
        *_RESERVED,
        _ATTEMPTS,
    ),
)

SPENT_CHARGES: Final = TableSchema(
    name="_spent_charges",
    description="One row a settle or adjust entry, with what its attempt adds to it.",
    changed=CHANGED_ATTEMPTS,
    rows=f"""(
        SELECT c.*, r.hop, r.mode, r.unit_price, r.task_id
        FROM (FROM charges WHERE entry IN ('settle', 'adjust') AND {CHANGED_VIDEOS}) AS c
        JOIN (FROM extension_requests WHERE {CHANGED_ATTEMPTS}) AS r ON r.attempt_id = c.attempt_id
    ) AS spent""",
    columns=(
        *(
            derived(name, "VARCHAR", "as in charges", name)
            for name in ("charge_id", "attempt_id", "video_key", "account", "provider", "entry", "unit", "basis")
        ),
        derived("currency", "VARCHAR", "as in charges", "currency"),
        derived("units", UNITS, "as in charges", "units"),
        derived("amount", AMOUNT, "as in charges", "amount"),
        derived("at", "TIMESTAMPTZ", "as in charges", '"at"'),
        derived("hop", "BIGINT", "as in extension_requests", "hop"),
        derived("mode", "VARCHAR", "as in extension_requests", "mode"),
        derived("unit_price", UNITS, "as in extension_requests", "unit_price"),
        derived("task_id", "VARCHAR", "as in extension_requests", "task_id"),
    ),
)

ROLLUPS: Final[tuple[TableSchema, ...]] = (VIDEO_COSTS, VIDEO_EXTENSIONS, DAY_COSTS, SPENT_CHARGES)

ROW_COUNTS: Final = "_row_counts"
"""The table of how many rows each table had at the last publish."""
