"""Numbers that Dagster plots over the materializations of the tables. Money is exact as text; the number beside it,
whose name begins with `plot_`, is for plots alone."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.warehouse.read import fetch

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

PLOT: Final = "plot_"
MAX_ACCOUNTS: Final = 20  # with a plot each; of more accounts only the sums by currency are plotted


def lineage_numbers(file: DuckDBPyConnection) -> dict[str, Any]:
    """Return the numbers of `extension_lineage`."""
    ((videos, depth),) = fetch(file, "SELECT count(DISTINCT video_key), max(depth) FROM lineage").rows
    return _known({"videos": videos, "depth_max": depth})


def cost_numbers(file: DuckDBPyConnection) -> dict[str, Any]:
    """Return the numbers of `extension_costs`: what is spent by currency, and by account if they are few."""
    spent = fetch(
        file,
        "SELECT account, currency, sum(spent_amount) FROM cost_by_account GROUP BY ALL ORDER BY account, currency",
    ).rows
    by_currency: dict[str, Decimal] = defaultdict(Decimal)
    for _, currency, amount in spent:
        by_currency[currency] += amount
    numbers: dict[str, Any] = {}
    for currency, amount in by_currency.items():
        numbers |= {f"spent_{currency}": f"{amount:f}", f"{PLOT}spent_{currency}": float(amount)}
    if len({account for account, _, _ in spent}) <= MAX_ACCOUNTS:
        numbers |= {f"{PLOT}spent_{currency}_{account}": float(amount) for account, currency, amount in spent}
    return numbers


def duration_numbers(file: DuckDBPyConnection) -> dict[str, Any]:
    """Return the numbers of `extension_durations`, over all accounts."""
    sql = "SELECT count(*), sum(added_duration_s), max(probed_duration_s) FROM completed_extensions"
    ((extensions, added_s, longest_s),) = fetch(file, sql).rows
    return _known({"extensions": extensions, "added_s": added_s, "longest_s": longest_s})


def _known(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return numbers as Dagster stores them, without those that are not known yet."""
    shown = {name: float(n) if isinstance(n, Decimal) else n for name, n in numbers.items()}
    return {name: number for name, number in shown.items() if number is not None}
