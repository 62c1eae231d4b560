"""Reading bodies that may be malformed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.providers.wire.json import (
    NotJson,
    error_message,
    integer,
    read_json,
    seconds_to_ms,
    text_id,
    timestamp_ms,
    units_to_micros,
)
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b' \r\n\t{"a":1} \n', {"a": 1}),
        (b'{"a":1}{"b":2}', {"a": 1}),
        (b'{"a":1}\n{"b":2}', {"a": 1}),
        (b'{"a":1}garbage', {"a": 1}),
        (b'{"a":1}\x00\x00', {"a": 1}),
        (b'{"a":827942411241803822}', {"a": 827942411241803822}),
        (b'{"a":9.6}', {"a": Decimal("9.6")}),
        (b'{"a":"x","a":"x"}', {"a": "x"}),
        (b'{"a":"x","a":"y"}', {"a": None}),
        (b'{"a":"x","a":"y","a":"y"}', {"a": None}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b"[]", []),
        (b"null", None),
    ],
)
def test_the_first_document_is_read(body: bytes, value: object) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"\xef\xbb\xbf",
        b'{"a":',
        b'{"code":0,"data":{"task_id":"12',
        b'{"a":1',
        b"<html><head><TITLE>502 Bad\n Gateway &amp; co</TITLE>",
        b"<!doctype html><p>hello",
        b"upstream connect error",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":1e99999999999999999999999}',
    ],
)
def test_a_body_that_is_no_json_is_described(body: bytes) -> None:
    outcome = read_json(body)
    assert isinstance(outcome, NotJson)
    check_user_text(f"{body[:40]!r}: {outcome.reason}")


def test_an_integer_of_any_length_is_no_trouble() -> None:
    document = read_json(b'{"a":' + b"9" * 100_000 + b"}")
    assert isinstance(document, dict)
    assert text_id(document["a"]) is None


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reading_raise(body: bytes) -> None:
    read_json(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("827942411241803822", "827942411241803822"),
        (827942411241803822, "827942411241803822"),
        (9007199254740993, "9007199254740993"),
        ("4665a07c-7641-4809-a133-10786201bb56", "4665a07c-7641-4809-a133-10786201bb56"),
        ("CjikQ2aBc/+==", "CjikQ2aBc/+=="),
        (0, "0"),
        ("", None),
        (None, None),
        (True, None),
        (Decimal("827942411241803822.0"), None),
        (8.279e17, None),
        (-1, None),
        (".", None),
        ("..", None),
        ("a b", None),
        ("a\x00", None),
        ("\ud800", None),
        ("a\n", None),
        ("é", None),
        ("x" * 257, None),
        ({"id": "1"}, None),
        (["1"], None),
    ],
)
def test_an_id_is_text_or_an_exact_integer(value: object, expected: str | None) -> None:
    assert text_id(value) == expected


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("9.6", 9600), ("5.1", 5100), (" 9.6 ", 9600), (Decimal("9.6"), 9600), (9, 9000), ("0", 0), ("9.6005", 9601),
        ("", None), (None, None), ("nine", None), ("-1", None), ("1e3", None), (Decimal("1E+3"), 1000_000),
        (True, None), ("NaN", None), (Decimal("1E+999999"), None), (Decimal("1E-999999"), None), ("1_0", None),
        ("٩", None), (86401, None), ([], None),
    ],
)  # fmt: skip
def test_seconds_become_milliseconds(value: object, ms: int | None) -> None:
    assert seconds_to_ms(value) == ms


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (1722769557708, 1722769557708), ("1722769557708", 1722769557708), (1722769557, 1722769557000),
        ("1722769557", 1722769557000), (Decimal("1722769557708.0"), 1722769557708), (0, None), (-5, None), ("", None),
        (True, None), ("2024-08-04", None), (10**30, None), (Decimal("1E+999999"), None), (None, None), ({}, None),
    ],
)  # fmt: skip
def test_times_are_milliseconds_of_utc(value: object, ms: int | None) -> None:
    assert timestamp_ms(value) == ms


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        ("2", 2_000_000), ("3.5", 3_500_000), (2, 2_000_000), (Decimal("3.5"), 3_500_000), ("0", 0), ("0.000001", 1),
        ("3.50000000", 3_500_000), ("0.0000001", None), ("", None), (None, None), ("string", None), ("-2", None),
        ("+2", None), ("1e2", None), (True, None), ("2 units", None), ("9" * 30, None), ([], None),
    ],
)  # fmt: skip
def test_units_become_millionths_or_nothing(value: object, micros: int | None) -> None:
    assert units_to_micros(value) == micros


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0), ("0", 0), (" 200 ", 200), ("1201", 1201), (-1, -1), (True, None), (Decimal(0), None), ("", None),
     ("ok", None), (None, None), ("1" * 30, None)],
)  # fmt: skip
def test_a_code_is_an_integer_or_its_digits(value: object, number: int | None) -> None:
    assert integer(value) == number


@pytest.mark.parametrize(
    "body",
    [
        {"code": 1, "message": "the words", "request_id": "r"},
        {"code": 1, "msg": "the words"},
        {"error": {"message": "the words", "type": "t", "param": "p", "code": "c"}},
        {"code": "text", "message": "the words", "data": None},
        {"error": "the words"},
        {"detail": "the words"},
        {"detail": {"message": "the words"}},
        {"success": False, "error": {"code": 1, "message": " the words "}},
    ],
)
def test_the_upstreams_message_is_read_in_every_kind_of_error_body(body: object) -> None:
    assert error_message(body) == "the words"


@pytest.mark.parametrize("body", [None, [], {}, {"error": None}, {"error": []}, {"message": 5}, "text", 7])
def test_a_body_without_a_message_has_none(body: object) -> None:
    assert error_message(body) == ""
