"""The page shows what the views give, to the last digit, and nothing in it is taken for HTML."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import WITHDRAWN_WITH_MANY, VideoState
from extend_pipeline.report.write import write_report
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.report.conftest import CNY, FREE, SCRIPT, WORDS, Fill, record_progress
from extend_pipeline_tests.report.page import Page
from extend_pipeline_tests.support.ledger.events import append_attempt, declare_video
from extend_pipeline_tests.support.user_texts import check_user_text

D = Decimal


@pytest.fixture
def page(odd: Path, tmp_path: Path) -> Page:
    return Page.of(write_report(odd, tmp_path / "report.html", timezone="Europe/Berlin").path)


def exact(cell: str) -> Decimal:
    """Return the number in a cell, with or without a unit behind it."""
    return D(cell.split()[0].replace(",", ""))


def test_money_is_that_of_the_views_and_apart_for_each_currency(page: Page, odd: Path) -> None:
    shown = {currency: list(map(exact, amounts)) for currency, *amounts in page.body("money")}
    assert shown == {
        # spent, reported, from bills, estimated, without a result, reserved
        "CNY": [D("3"), D(0), D(0), D("3"), D("1.5"), D("1.5")],
        # dawn's 2 - 0.5 and branch's 2 units, of which 0.5 were reported back
        "USD": [D("0.49"), D("-0.07"), D(0), D("0.56"), D(0), D(0)],
    }
    sums = "SELECT currency, sum(spent_amount), sum(reserved_amount) FROM cost_by_account GROUP BY currency"
    assert {currency: (row[0], row[-1]) for currency, row in shown.items()} == {
        currency: (spent, reserved) for currency, spent, reserved in query(odd, sums).rows
    }


def test_accounts_and_videos_are_the_rows_of_the_views(page: Page, odd: Path) -> None:
    columns = ("account", "spent", "a second")
    by_spent = "FROM cost_per_second ORDER BY currency, spent_amount DESC"
    accounts = query(odd, f"SELECT account, spent_amount, amount_per_second {by_spent}").rows
    assert {account for account, *_ in accounts} == {"kling-main", CNY["account"], FREE["account"]}
    assert [(row[0], exact(row[1]), exact(row[2])) for row in page.cells("accounts", *columns)] == accounts
    counted = {row[0]: row[1:] for row in page.cells("accounts", "account", "hops stored", "failed")}
    assert counted == {"kling-main": ["2", "0"], CNY["account"]: ["1", "1"], FREE["account"]: ["1", "0"]}

    dearest = "SELECT video_key, spent_amount FROM cost_by_video WHERE currency = 'USD' ORDER BY spent_amount DESC"
    assert [(key, exact(spent)) for key, spent in page.cells("videos-USD", "video", "spent")] == query(
        odd, dearest
    ).rows
    [[key, state, hops, before, reached, spent]] = page.cells(
        "videos-CNY", "video", "state", "hops", "seconds before", "seconds reached", "spent"
    )
    assert (key, state, hops, before, reached, spent) == (SCRIPT, "blocked", "1", "5.1", "9.6", "3.00")
    assert ["branch", "–"] in page.cells("videos-USD", "video", "seconds before")


def test_totals_count_videos_and_seconds(page: Page) -> None:
    figures = page.text.partition("In total")[2].partition("Money")[0]
    for words in (
        "videos finished 1",
        "videos growing 2",
        "videos that wait for a person 1",
        "videos withdrawn from the catalogue 1",
        "hops stored 4",
        "seconds before, declared 20.4",
        "seconds reached 29.4",
        "seconds gained, measured 18",
        "Not in the seconds before and reached: 1 that",
    ):
        assert words in figures


def test_what_waits_for_a_person_is_named_with_its_words_in_the_homes_time(page: Page) -> None:
    [[account, videos, why, which]] = page.body("blocked")
    assert (account, videos, which) == (CNY["account"], "1", SCRIPT)
    assert why == f"failed: {WORDS.replace('2026-11-06 16:00 UTC', '2026-11-06 17:00 +01:00')}"
    [[video, hop, _, exposure, since]] = page.body("doubts")
    assert (video, hop, exposure, since) == (SCRIPT, "3", "1.50 CNY", "2026-11-07 12:00")


def test_what_users_and_providers_wrote_is_text(page: Page) -> None:
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "b", "img", "iframe", "link", "object", "image", "use", "a", "foreignobject"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    addresses = {
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if not name.startswith("xmlns") and "://" in (value or "")
    }
    assert addresses == set()


def test_days_are_those_of_the_home(odd: Path, tmp_path: Path) -> None:
    berlin = write_report(odd, tmp_path / "berlin.html", timezone="Europe/Berlin").contents
    utc = write_report(odd, tmp_path / "utc.html", timezone="UTC").contents
    assert [row.day for row in utc.day_seconds] == [date(2026, 11, 5), date(2026, 11, 6)]
    assert [row.day for row in berlin.day_seconds] == [date(2026, 11, 5), date(2026, 11, 7)]
    assert [row.seconds for row in berlin.day_seconds] == [D("13.5"), D("4.5")]
    assert (utc.published_at.hour, berlin.published_at.hour) == (12, 13)
    # budget days are dates of the zone at the claim, and stay
    assert berlin.day_costs == utc.day_costs
    assert "2026-11-07 13:00 (Europe/Berlin)" in Page.of(tmp_path / "berlin.html").sentences[0]


def test_a_chart_has_its_figures_in_words(page: Page) -> None:
    days = "2026-10-25 to 2026-11-07"
    for text in (sentence for sentence in page.sentences if f" from {days};" in sentence):
        check_user_text(text)
    assert sum(f" from {days};" in sentence for sentence in page.sentences) == 3
    drawn = [attributes["aria-labelledby"] for _, attributes in page.elements if attributes.get("role") == "img"]
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert len(drawn) == 5
    assert {name for chart in drawn for name in (chart or "").split()} <= ids


def test_a_file_with_nothing_in_it_says_so(empty: Path, tmp_path: Path) -> None:
    page = Page.of(write_report(empty, tmp_path / "report.html", timezone="UTC").path)
    assert page.tables == {}
    assert "svg" not in {tag for tag, _ in page.elements}
    for sentence in page.sentences[2:-1]:  # but for when it was written, and by which version
        check_user_text(sentence)


def test_an_account_that_has_had_two_providers_counts_each_hop_once(
    published: Callable[[Fill], Path], tmp_path: Path
) -> None:
    def append(tx: LedgerTransaction) -> None:
        declare_video(tx, "dawn", provider="vidu")
        declare_video(tx, "dusk", account="other")
        append_attempt(tx, "before", video="dawn")
        append_attempt(tx, "since", video="dawn", hop=2, provider="vidu", unit_price_micros=70_000)
        append_attempt(tx, "alone", video="dusk", account="other")

    written = write_report(published(append), tmp_path / "report.html", timezone="UTC")
    assert (written.contents.totals.hops, written.contents.totals.added_s) == (3, D("13.5"))
    page = Page.of(written.path)
    assert page.cells("accounts", "account", "provider", "hops stored", "spent") == [
        ["kling-main", "kling", "1", "0.28 USD"],
        ["other", "kling", "1", "0.28 USD"],
        ["kling-main", "vidu", "1", "0.14 USD"],
    ]
    videos = page.cells("videos-USD", "video", "hops", "spent", "account")
    assert [(*row[:-1], *re.findall(r"[\w-]+", row[-1])) for row in videos] == [
        ("dawn", "1", "0.28", "kling-main", "kling"),
        ("dusk", "1", "0.28", "other"),
        ("dawn", "1", "0.14", "kling-main", "vidu"),
    ]
    [prices] = [sentence for sentence in page.sentences if "kling-unit" in sentence]
    check_user_text(prices)
    assert re.findall(r"([\w-]+) \((?:(\w+), )?kling-unit\): (\d+\.\d+)", prices) == [
        ("kling-main", "kling", "0.062222"),  # 0.28 USD for 4.5 seconds
        ("other", "", "0.062222"),
        ("kling-main", "vidu", "0.031111"),
    ]


def test_of_many_videos_the_dearest_are_shown_and_how_many_are_left_out(
    published: Callable[[Fill], Path], tmp_path: Path
) -> None:
    def append(tx: LedgerTransaction) -> None:
        for number in range(3_000):
            key = f"film-{number:04}"
            declare_video(tx, key, account=f"account-{number % 60:02}")
            micros = 1_000_000 + number * 1_000
            append_attempt(
                tx,
                f"a{number}",
                video=key,
                account=f"account-{number % 60:02}",
                until="failed" if number % 3 else "stored",
                predicted_micros=micros,
            )
            record_progress(tx, key, VideoState.BLOCKED, 9_600, f"hop 1 of {key} failed")

    written = write_report(published(append), tmp_path / "report.html", timezone="UTC")
    page = Page.of(written.path)
    assert [row[0] for row in page.cells("videos-USD", "video")] == [f"film-{2_999 - n:04}" for n in range(50)]
    assert len(page.body("accounts")) == 50
    assert len(page.body("blocked")) == 10
    left_out = [sentence for sentence in page.sentences if "extend-pipeline sql" in sentence and " left " in sentence]
    assert [sentence.split()[0] for sentence in left_out] == ["2,990", "10", "2,950"]
    for sentence in left_out:
        check_user_text(sentence)
    assert written.contents.totals.blocked == 3_000
    assert "52 other accounts" in page.text
    assert written.size < 150_000


def test_videos_that_left_the_catalogue_at_once_wait_for_a_person(
    published: Callable[[Fill], Path], tmp_path: Path
) -> None:
    def append(tx: LedgerTransaction) -> None:
        for key in ("dawn", "dusk", "gone"):
            declare_video(tx, key)
        for key in ("dawn", "dusk"):
            tx.append("video_withdrawn", video_key=key, data={"reason": WITHDRAWN_WITH_MANY})
        tx.append("video_withdrawn", video_key="gone")

    written = write_report(published(append), tmp_path / "report.html", timezone="UTC")
    totals = written.contents.totals
    assert (totals.videos, totals.blocked, totals.withdrawn) == (3, 2, 1)
    assert Page.of(written.path).cells("blocked", "videos", "which") == [["2", "dawn, dusk"]]
