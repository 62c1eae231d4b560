"""Draw the charts of a report as SVG with Altair, which is imported only when a chart is drawn.

A chart shows rounded numbers; its text gives the exact ones. Colours of words and lines are those
of the page, which sets them by CSS for light, dark and paper.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from extend_pipeline.base.wording import counted
from extend_pipeline.report.contents import MAX_ROWS, AccountRow, Contents, DayCost
from extend_pipeline.report.numbers import money, number

if TYPE_CHECKING:
    import altair as alt

EXTRA: Final = "the report needs Altair, which is not installed: pip install 'extend_pipeline[report]'"
WIDTH: Final = 450  # pixels, with the words at the axes; shown on a phone at 0.8 of it, and on a screen at 1.2
PLOT_WIDTH: Final = 390  # about, of what is within the axes
HEIGHT: Final = 170
BAR: Final = 18
MAX_SERIES: Final = 8  # accounts with a colour of their own; the others are one series
MAX_BARS: Final = 15
COLOURS: Final = (
    *("#3b7dd8", "#d9822b", "#2f9e6e", "#c2498f", "#8a63d2", "#a8860d", "#2aa1b3", "#d0453a"),
    "#7a8594",  # the others
)
"""Middle tones, which differ from a white and from a black page by 3:1 at least."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: its title, its SVG, and what it shows in words. Without data there is no SVG, and `text` says so."""

    title: str
    svg: str
    text: str


class NotInstalledError(RuntimeError):
    """Altair or vl-convert is not installed; the message says how to get them."""


def is_installed() -> bool:
    """Return whether charts can be drawn, without importing anything."""
    return all(find_spec(name) is not None for name in ("altair", "vl_convert"))


def draw_charts(contents: Contents) -> list[Chart]:
    """Return the charts of a report, in its order. Raises NotInstalledError."""
    if not is_installed():
        raise NotInstalledError(EXTRA)
    days = (contents.first_day, contents.last_day)
    charts = [
        _cost_chart(money.currency, [cost for cost in contents.day_costs if cost.currency == money.currency], days)
        for money in contents.money
    ]
    charts.append(_seconds_chart(contents, days))
    charts += [
        _per_second_chart(money.currency, [row for row in contents.accounts if row.currency == money.currency])
        for money in contents.money
    ]
    return charts


def _cost_chart(currency: str, costs: Sequence[DayCost], days: tuple[date, date]) -> Chart:
    title = f"Cost a day, in {currency}"
    if not costs:
        return Chart(title, "", f"Nothing was spent in {currency} on the days from {days[0]} to {days[1]}.")
    by_account: defaultdict[str, Decimal] = defaultdict(Decimal)
    by_day: defaultdict[date, Decimal] = defaultdict(Decimal)
    for cost in costs:
        by_account[cost.account] += cost.amount
        by_day[cost.day] += cost.amount
    ranked = sorted(by_account, key=lambda account: (-by_account[account], account))
    series = {account: account for account in ranked}
    if others := ranked[MAX_SERIES:]:
        series |= dict.fromkeys(others, counted(len(others), "other account"))
    names = list(dict.fromkeys(series.values()))
    values = [
        {
            "day": cost.day.isoformat(),
            "series": series[cost.account],
            "rank": names.index(series[cost.account]),
            "value": float(cost.amount),
        }
        for cost in costs
    ]
    svg = _svg(_day_bars(values, days, axis=currency, names=names))
    words = _in_words(by_day, days, lambda amount: f"{currency} {money(amount)}")
    return Chart(title, svg, f"{words} {_by_account(by_account, ranked, currency)}")


def _seconds_chart(contents: Contents, days: tuple[date, date]) -> Chart:
    title = "Seconds gained a day"
    by_day = {row.day: row.seconds for row in contents.day_seconds}
    if not by_day:
        return Chart(title, "", f"No measured second was stored on the days from {days[0]} to {days[1]}.")
    values = [{"day": day.isoformat(), "rank": 0, "value": float(added)} for day, added in by_day.items()]
    return Chart(
        title,
        _svg(_day_bars(values, days, axis="seconds", names=[])),
        _in_words(by_day, days, lambda added: f"{number(added)} s"),
    )


def _per_second_chart(currency: str, accounts: Sequence[AccountRow]) -> Chart:
    title = f"Cost of a second, in {currency}"
    known = [(label, row.per_second) for label, row in _labelled(accounts) if row.per_second is not None]
    if not known:
        return Chart(title, "", f"No account has a measured second that was paid in {currency}.")
    highest = sorted(known, key=lambda bar: (-bar[1], bar[0]))[:MAX_BARS]
    bars = [{"account": label, "value": float(cost)} for label, cost in highest]
    text = "; ".join(f"{label}: {money(cost)}" for label, cost in highest)
    if len(known) > len(highest):
        text += f"; and {counted(len(known) - len(highest), 'account')} below these"
    if len(known) >= MAX_ROWS:  # those that spent less are not among the rows
        text = f"of the {MAX_ROWS} accounts that spent most: {text}"
    return Chart(title, _svg(_account_bars(bars, axis=f"{currency} a second")), f"{text}.")


def _labelled(accounts: Sequence[AccountRow]) -> Iterator[tuple[str, AccountRow]]:
    """Yield each row of one currency with its account and unit, and with its provider too if the account has had
    several."""
    providers: defaultdict[str, set[str]] = defaultdict(set)
    for row in accounts:
        providers[row.account].add(row.provider)
    for row in accounts:
        provider = f"{row.provider}, " if len(providers[row.account]) > 1 else ""
        yield f"{row.account} ({provider}{row.unit})", row


def _by_account(amounts: Mapping[str, Decimal], ranked: Sequence[str], currency: str) -> str:
    """Return a sentence with the amount of each account, of many only of those with a colour."""
    named = [f"{account}: {currency} {money(amounts[account])}" for account in ranked[:MAX_SERIES]]
    if others := ranked[MAX_SERIES:]:
        rest = sum((amounts[account] for account in others), Decimal(0))
        named.append(f"{counted(len(others), 'other account')}: {currency} {money(rest)}")
    return f"{'; '.join(named)}."


def _in_words(by_day: Mapping[date, Decimal], days: tuple[date, date], write: Callable[[Decimal], str]) -> str:
    """Return a sentence with the sum over the days and the highest of them."""
    highest = max(by_day, key=lambda day: by_day[day])
    total = write(sum(by_day.values(), Decimal(0)))
    on = counted(len(by_day), "day")
    return f"{total} on {on} from {days[0]} to {days[1]}; most on {highest}: {write(by_day[highest])}."


def _day_bars(
    values: Sequence[Mapping[str, Any]], days: tuple[date, date], *, axis: str, names: Sequence[str]
) -> alt.Chart:
    """Return bars by day, stacked and coloured by series if there are names of them."""
    import altair as alt

    # days are dates without a zone; read as UTC throughout, none is moved to its neighbour
    after = days[1] + timedelta(days=1)
    middle = PLOT_WIDTH / (after - days[0]).days / 2  # a bar begins at its day's midnight
    colour: Any = alt.value(COLOURS[0])
    if names:
        colour = alt.Color(
            "series:N",
            sort=list(names),
            scale=alt.Scale(domain=list(names), range=list(COLOURS[: len(names)])),
            legend=alt.Legend(title=None, orient="bottom", columns=2, labelLimit=180),
        )
    chart: alt.Chart = (
        alt.Chart(_data(values), width=WIDTH, height=HEIGHT)
        .mark_bar()
        .encode(
            x=alt.X(
                "utcyearmonthdate(day):T",
                title=None,
                scale=alt.Scale(type="utc", domain=[days[0].isoformat(), after.isoformat()]),
                axis=alt.Axis(format="%-d %b", tickCount=6, grid=False, labelOffset=middle, tickOffset=middle),
            ),
            y=alt.Y("sum(value):Q", title=axis, axis=alt.Axis(tickCount=5)),
            color=colour,
            order=alt.Order("rank:Q"),
        )
    )
    return chart


def _account_bars(values: Sequence[Mapping[str, Any]], *, axis: str) -> alt.Chart:
    """Return one bar an account, the longest above."""
    import altair as alt

    chart: alt.Chart = (
        alt.Chart(_data(values), width=WIDTH, height=alt.Step(BAR))
        .mark_bar(color=COLOURS[0])
        .encode(
            x=alt.X("value:Q", title=axis, axis=alt.Axis(tickCount=4)),
            y=alt.Y(
                "account:N", title=None, sort=[str(bar["account"]) for bar in values], axis=alt.Axis(labelLimit=140)
            ),
        )
    )
    return chart


def _data(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return data within the chart, and no frame, so that pandas is not imported."""
    return {"values": list(values)}


def _svg(chart: alt.Chart) -> str:
    """Return a chart as an SVG element without a background."""
    words: Any = {"labelFontSize": 13, "titleFontSize": 13, "titleFontWeight": "normal"}
    fit = {"type": "fit-x", "contains": "padding"}
    configured = (
        chart.configure(background="transparent", font="sans-serif", aria=False, autosize=fit)
        .configure_view(stroke=None)
        .configure_axis(**words)
        .configure_legend(labelFontSize=13)
    )
    file = io.StringIO()
    configured.save(file, format="svg")
    return file.getvalue()
