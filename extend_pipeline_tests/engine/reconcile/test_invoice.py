"""Invoices as CSV: read exactly, or refused with every mistake and what to do about it."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.reconcile.invoice import read as invoice_module
from extend_pipeline.engine.reconcile.invoice.read import Invoice, InvoiceProblems, read_invoice
from extend_pipeline.engine.reconcile.invoice.rows import InvoiceRow
from extend_pipeline_tests.config.written import CREDIT, account_of, entry, load, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

ID, OTHER = "827942411241803822", "4fd1b0b6-6f2e-4c22-8d0a-3a3c7b1f0f11"
NOVEMBER = 1793491200000  # 2026-11-01 UTC


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Account:
    """Return a reseller's account, charged in credits of 0.1 USD."""
    return account_at(tmp_path_factory.mktemp("home"), CREDIT)


def account_at(home: Path, price: str) -> Account:
    text = account_of("luma", price, "download_hosts: ['*.example.com']", name="reseller")
    configuration = load(
        write_home(home, entry(account="reseller", source="{task_id: t-1}", extend="{to: 9, prompt: a}"), accounts=text)
    )
    return configuration.accounts["reseller"]


@pytest.fixture
def read(tmp_path: Path, account: Account) -> Callable[..., Invoice | InvoiceProblems]:
    """Return a function that writes a text as an invoice and reads it."""

    def run(text: str | bytes, account: Account = account) -> Invoice | InvoiceProblems:
        path = tmp_path / "november.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_invoice(path, account=account)

    return run


Read = Callable[..., Invoice | InvoiceProblems]


def rows(outcome: Invoice | InvoiceProblems) -> dict[str, int]:
    assert isinstance(outcome, Invoice), outcome.text()
    return {row.task_id: row.units_micros for row in outcome.rows}


def problems_text(outcome: Invoice | InvoiceProblems) -> str:
    assert isinstance(outcome, InvoiceProblems), outcome
    return outcome.text()


def checked_notes(outcome: Invoice | InvoiceProblems) -> tuple[str, ...]:
    """Compare an invoice's notes, as one text, with the golden file; return them."""
    assert isinstance(outcome, Invoice), outcome.text()
    check_user_text("\n".join(outcome.notes))
    return outcome.notes


def test_a_plain_invoice(read: Read) -> None:
    outcome = read(
        "date,Task ID,Model,Units,Amount,Currency\n"
        f"2026-11-01,{ID},luma,2,0.20,USD\n"
        f"2026-11-02T08:30:00+02:00,{OTHER},luma,3.5,0.35,usd\n"
    )
    assert outcome == Invoice(
        (
            InvoiceRow(ID, 2_000_000, NOVEMBER, 2),
            InvoiceRow(OTHER, 3_500_000, NOVEMBER + 86_400_000 + 6 * 3_600_000 + 1_800_000, 3),
        ),
        NOVEMBER,
        NOVEMBER + 86_400_000 + 6 * 3_600_000 + 1_800_000,
        checked_notes(outcome),
    )


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("start", ["", "\ufeff", "sep={}\n", '\ufeff"sep={}"\r\n', "\n\n"])
def test_separators_and_byte_order_marks(read: Read, mark: str, start: str) -> None:
    text = f'{start.format(mark)}id{mark}units{mark}note\r\n"{ID}"{mark}2{mark}"a{mark}b\n2"\r\n'
    assert rows(read(text)) == {ID: 2_000_000}


@pytest.mark.parametrize("name", ["task_id", "Task Id", "TASK-ID", "taskid", "task", " ID "])
def test_the_ids_column_has_many_names(read: Read, name: str) -> None:
    assert rows(read(f"units,{name}\n2,{ID}\n")) == {ID: 2_000_000}


def test_the_best_name_wins(read: Read) -> None:
    assert rows(read(f"id,task_id,units\n7,{ID},2\n")) == {ID: 2_000_000}


@pytest.mark.parametrize("cell", [ID, f'"{ID}"', f'"=""{ID}"""', f"'{ID}", f" {ID} "])
def test_an_id_is_text_with_any_protection(read: Read, cell: str) -> None:
    assert rows(read(f"id,units\n{cell},2\n")) == {ID: 2_000_000}


def test_an_id_keeps_its_leading_zeros(read: Read) -> None:
    assert rows(read("id,units\n0070,2\n1e5,3\n")) == {"0070": 2_000_000, "1e5": 3_000_000}


@pytest.mark.parametrize("cell", ["8.27942E+17", "8.27942411241803e+17", "827942411241803822.0", '"8,27942E+17"'])
def test_an_id_that_a_spreadsheet_rounded_is_refused(read: Read, cell: str) -> None:
    check_user_text(problems_text(read(f"id,units\n{cell},2\n")))


@pytest.mark.parametrize("cell", ["=1+1", '=HYPERLINK("http://a.example")', "=A2"])
def test_a_formula_is_no_id(read: Read, cell: str) -> None:
    check_user_text(problems_text(read(f"id,units\n{cell},2\n")))


def test_ids_that_all_end_in_zeros_were_rounded_too(read: Read) -> None:
    check_user_text(problems_text(read("id,units\n827942411241803000,2\n827942411241804000,2\n")))
    assert rows(read(f"id,units\n827942411241803000,2\n{ID},2\n")).keys() == {"827942411241803000", ID}
    assert len(rows(read("id,units\n827942411241803000,2\n827942411241803000,2\n"))) == 1


@pytest.mark.parametrize("cell", ["two words", "ümlaut", "x" * 257, "a\x00b"])
def test_a_cell_that_can_be_no_id_is_refused(read: Read, cell: str) -> None:
    check_user_text(problems_text(read(f"id,units\n{cell},2\n")))


@pytest.mark.parametrize(
    ("cell", "micros"),
    [("2", 2_000_000), ("3.50", 3_500_000), ("-2", -2_000_000), ("+1", 1_000_000), ("0.000001", 1), ("0", 0)],
)
def test_units_are_exact(read: Read, cell: str, micros: int) -> None:
    assert rows(read(f"id,units\n{ID},{cell}\n")) == {ID: micros}


@pytest.mark.parametrize(
    "cell",
    [
        *('"2,5"', '"1,000"'),
        *('"1,000.5"', "1 000", "1'000", "1\u00a0000"),
        *("(2)", "$2", "2e3", "NaN", "--2", "٣", "9999999999999", "two"),
        "0.0000001",
    ],
)
def test_a_number_that_could_be_misread_is_refused(read: Read, cell: str) -> None:
    message = problems_text(read(f"id,units\n{ID},{cell}\n"))
    assert message.split(": ")[:2] == ["november.csv:2", "units"]
    check_user_text(message)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_decimal_comma_needs_another_separator(read: Read, mark: str) -> None:
    written = f"id;units\n{ID};2,5\n{OTHER};-0,490\n".replace(";", mark)
    assert rows(read(written)) == {ID: 2_500_000, OTHER: -490_000}
    assert rows(read(f"id;units\n{ID};2.5\n".replace(";", mark))) == {ID: 2_500_000}
    check_user_text(problems_text(read(f"id,units\n{ID},2,5\n")))


@pytest.mark.parametrize("mark", [";", "\t"])
@pytest.mark.parametrize("cell", ["1,000", "1.000", "-12,500"])
def test_a_number_with_a_possible_thousands_separator_is_refused(read: Read, cell: str, mark: str) -> None:
    check_user_text(problems_text(read(f"id;units\n{ID};{cell}\n".replace(";", mark))))
    check_user_text(problems_text(read(f"id;units\n{ID};1.000,50\n")))


def test_amounts_are_converted_to_units(read: Read) -> None:
    outcome = read(f"id,amount,currency\n{ID},0.35,USD\n{OTHER},-0.1,\n")
    assert rows(outcome) == {ID: 3_500_000, OTHER: -1_000_000}
    assert isinstance(outcome, Invoice)
    assert (outcome.first_ms, outcome.last_ms, outcome.notes) == (None, None, ())


def test_a_rounded_amount_is_converted_to_the_nearest_millionth(read: Read, tmp_path: Path) -> None:
    dear = account_at(tmp_path / "dear", "price: {unit: credit, per_extension: 4, unit_price: 0.13, currency: USD}")
    outcome = read(f"id,amount\n{ID},0.46\n{OTHER},-0.46\n", dear)
    assert rows(outcome) == {ID: 3_538_462, OTHER: -3_538_462}
    assert len(checked_notes(outcome)) == 1


def test_an_amount_without_a_price_is_refused(read: Read, tmp_path: Path) -> None:
    free = account_at(tmp_path / "free", "price: {unit: credit, per_extension: 4, unit_price: 0, currency: USD}")
    check_user_text(problems_text(read(f"id,amount\n{ID},0.46\n", free)))
    assert rows(read(f"id,units,amount\n{ID},4,0\n", free)) == {ID: 4_000_000}


def test_units_win_over_an_amount_that_does_not_fit(read: Read) -> None:
    outcome = read(f"id,units,amount\n{ID},2,0.20\n{OTHER},2,0.30\n3,2,0.204\n4,,0.2\n")
    assert rows(outcome) == {ID: 2_000_000, OTHER: 2_000_000, "3": 2_000_000, "4": 2_000_000}
    assert len(checked_notes(outcome)) == 1


def test_another_currency_is_another_account(read: Read) -> None:
    check_user_text(problems_text(read(f"id,amount,currency\n{ID},0.35,CNY\n{OTHER},1,CNY\n")))


@pytest.mark.parametrize(
    ("cell", "ms"),
    [
        ("2026-11-01", NOVEMBER),
        ("20261101", NOVEMBER),
        ("2026-11-01T00:00:00Z", NOVEMBER),
        ("2026-11-01 00:00", NOVEMBER),
        ("2026-11-01T08:00:00.250+08:00", NOVEMBER + 250),
        ("1793491200", NOVEMBER),
        ("1793491200000", NOVEMBER),
        ("", None),
    ],
)
def test_times_are_iso_or_unix(read: Read, cell: str, ms: int | None) -> None:
    outcome = read(f"id,units,at\n{ID},2,{cell}\n")
    assert isinstance(outcome, Invoice)
    assert outcome.rows[0].at_ms == outcome.first_ms == outcome.last_ms == ms


@pytest.mark.parametrize("cell", ["01/11/2026", "32.11.2026", "yesterday", "45597", "2026-13-01", "1969-01-01"])
def test_a_time_that_could_be_misread_is_refused(read: Read, cell: str) -> None:
    assert problems_text(read(f"id,units,date\n{ID},2,{cell}\n")).split(": ")[:2] == ["november.csv:2", "date"]


def test_lines_of_one_task_are_added_up(read: Read) -> None:
    outcome = read(f"id,units,at\n{ID},2,2026-11-02\n{OTHER},1,\n{ID},-2,2026-11-01\n{ID},3,\n")
    assert isinstance(outcome, Invoice)
    assert outcome.rows == (
        InvoiceRow(ID, 3_000_000, NOVEMBER + 86_400_000, 2),
        InvoiceRow(OTHER, 1_000_000, None, 3),
    )
    assert (outcome.first_ms, outcome.last_ms) == (NOVEMBER, NOVEMBER + 86_400_000)
    checked_notes(outcome)


def test_totals_and_empty_lines_are_left_out_and_noted(read: Read) -> None:
    outcome = read(f"id,units\n\n{ID},2\n,,\nTotal:,2\n,2\n")
    assert rows(outcome) == {ID: 2_000_000}
    assert isinstance(outcome, Invoice)
    assert len(checked_notes(outcome)) == 3
    assert not outcome.whole
    summed = read(f"id,units,note\n{ID},2,\n,2,Total\n")
    assert isinstance(summed, Invoice)
    assert summed.whole


@pytest.mark.parametrize("end", [f"{OTHER},1", f"{OTHER},1,2026-11"])
def test_a_last_line_that_is_cut_is_refused(read: Read, end: str) -> None:
    """Cut in its units, 10 would read as 1."""
    message = problems_text(read(f"id,units,at,note\n{ID},2,,\n{end}"))
    assert message.startswith("november.csv:3: ")
    check_user_text(message)
    assert len(rows(read(f"id,units,at,note\n{ID},2,,\n{OTHER},1\n"))) == 2
    assert len(rows(read(f"id,units,at,note\n{ID},2,,\n{OTHER},1,,"))) == 2


@pytest.mark.parametrize(
    "text",
    [
        f"id,units\n{ID},1000000001\n",
        f"id,units\n{ID},999999999\n{ID},999999999\n",
        f"id,amount\n{ID},-100000000.1\n",
    ],
)
def test_a_number_beyond_the_column_is_refused(read: Read, text: str) -> None:
    """In the ledger it would keep the warehouse from ever being published again."""
    check_user_text(problems_text(read(text)))


def test_a_line_without_units_is_a_mistake(read: Read) -> None:
    check_user_text(problems_text(read(f"id,units\n{ID},\n")))
    check_user_text(problems_text(read(f"id,units\n{ID}\n")))


def test_every_mistake_is_reported_at_once(read: Read) -> None:
    message = problems_text(read(f'id,units,at,currency\n1.5E+17,"2,5",soon,EUR\n{ID},,,\n{OTHER},2,,\n'))
    assert [line.split(": ")[:2] for line in message.splitlines()] == [
        ["november.csv:2", "id"],
        ["november.csv:2", "at"],
        ["november.csv:2", "currency"],
        ["november.csv:2", "units"],
        ["november.csv:3", "units"],
    ]


def test_only_the_first_hundred_mistakes_are_reported(read: Read) -> None:
    outcome = read("id,units\n" + "".join(f"{number},x{number}\n" for number in range(300)))
    assert isinstance(outcome, InvoiceProblems)
    assert len(outcome.problems) == 101
    assert "200 more mistakes" in outcome.problems[-1].text()


@pytest.mark.parametrize(
    "text",
    [
        "units\n2\n",
        f"id\n{ID}\n",
        f"{ID},2\n",
        "id,units,Units\n1,2,3\n",
        "id,units\n",
        "id,units\nTotal,2\n",
        'id,units\n1,"2\n',
        "",
        "\n \n",
        b"i\x00d\x00",
        b"\xff\xfei\x00d",
        b"id,units\n\xe9,2\n",
        "\x00",
    ],
)
def test_a_file_that_is_no_invoice_is_refused(read: Read, text: str | bytes) -> None:
    check_user_text(problems_text(read(text)))


def test_a_missing_file_a_folder_a_pipe_and_a_large_file_are_refused(
    tmp_path: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_user_text(problems_text(read_invoice(tmp_path / "none.csv", account=account)))
    folder = tmp_path / "folder"
    folder.mkdir()
    check_user_text(problems_text(read_invoice(folder, account=account)))
    os.mkfifo(tmp_path / "pipe")
    check_user_text(problems_text(read_invoice(tmp_path / "pipe", account=account)))
    large = tmp_path / "large.csv"
    large.write_text("id,units\n1,2\n")
    monkeypatch.setattr(invoice_module, "MAX_BYTES", 5)
    check_user_text(problems_text(read_invoice(large, account=account)))


def _written(lines: list[tuple[str, Decimal, datetime]], mark: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark)
    writer.writerow(["note", "task_id", "units", "at"])
    for task_id, units, at in lines:
        writer.writerow([f'a{mark}"b"\n', task_id, format(units, "f"), at.isoformat()])
    return out.getvalue()


_IDS = st.one_of(
    st.integers(10**17, 10**18 - 1).map(str).filter(lambda text: not text.endswith("000")),
    st.uuids().map(str),
)
_UNITS = st.decimals(-10_000, 10_000, places=6, allow_nan=False, allow_infinity=False)
_TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zoned above


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_IDS, _UNITS, _TIMES), min_size=1, max_size=12), st.sampled_from([",", "\t"]))
def test_written_rows_are_read_exactly(
    tmp_path: Path, account: Account, lines: list[tuple[str, Decimal, datetime]], mark: str
) -> None:
    path = tmp_path / "written.csv"
    path.write_text(_written(lines, mark), newline="")
    outcome = read_invoice(path, account=account)
    expected: dict[str, int] = {}
    for task_id, units, _ in lines:
        expected[task_id] = expected.get(task_id, 0) + int(units * 1_000_000)
    assert rows(outcome) == expected
    assert isinstance(outcome, Invoice)
    assert outcome.first_ms == min(
        (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) for _, _, at in lines
    )


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(alphabet="id,units;at\t\n\r\"='-+.eE0123456789\ufeffTotal ", max_size=200).map(
            lambda text: f"id,units,at\n{text}".encode()
        ),
    )
)
def test_no_content_of_a_file_raises_or_is_read_in_part(tmp_path: Path, account: Account, content: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(content)
    outcome = read_invoice(path, account=account)
    if isinstance(outcome, Invoice):
        assert outcome.rows
        assert len({row.task_id for row in outcome.rows}) == len(outcome.rows)
        assert all(row.task_id and type(row.units_micros) is int for row in outcome.rows)
    else:
        assert outcome.problems
        assert all(line.startswith("any.csv") for line in outcome.text().splitlines())
