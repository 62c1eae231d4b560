"""A ledger's address as operators write it, and what is shown of it: nothing between the scheme and the last `@`."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import OperationalError

from extend_pipeline.ledger.address import AddressError, credential_parts, parse_address, shown_address
from extend_pipeline.ledger.database import Ledger, LedgerError, open_ledger
from extend_pipeline.ledger.handover import portable
from extend_pipeline_tests.support.servers.postgres import PostgresServer
from extend_pipeline_tests.support.user_texts import check_user_text

SECRET = "canary-pass"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_spelling_of_postgresql_selects_psycopg(scheme: str) -> None:
    parsed = parse_address(f"{scheme}://ann:word@db.example:6432/ledger?sslmode=require")
    assert parsed.drivername == "postgresql+psycopg"
    assert (parsed.username, parsed.password, parsed.host, parsed.port) == ("ann", "word", "db.example", 6432)
    assert (parsed.database, dict(parsed.query)) == ("ledger", {"sslmode": "require"})


@pytest.mark.parametrize(
    ("written", "password"),
    [("p@ss", "p@ss"), ("p%40ss", "p@ss"), ("p@@s:s", "p@@s:s"), ("p/s?s#", "p/s?s#"), ("p%2Fs@x", "p/s@x"), ("", "")],
)
def test_an_unescaped_password_is_read_where_it_is_unambiguous(written: str, password: str) -> None:
    parsed = parse_address(f"postgresql://ann:{written}@db.example/ledger")
    assert (parsed.username, parsed.password, parsed.host) == ("ann", password, "db.example")


@pytest.mark.parametrize(
    ("url", "user", "password", "host"),
    [
        ("postgresql:///db?host=/cloudsql/p:r:i&user=sa@project.iam", None, None, None),
        ("postgresql://localhost/db?application_name=me@work", None, None, "localhost"),
        ("postgresql://u:p@localhost:5/db?application_name=me@work", "u", "p", "localhost"),
        ("postgresql://u:p@[::1]:5/db", "u", "p", "::1"),
    ],
)
def test_an_at_sign_in_a_parameter_is_no_login(
    url: str, user: str | None, password: str | None, host: str | None
) -> None:
    parsed = parse_address(url)
    assert (parsed.username, parsed.password, parsed.host) == (user, password, host)
    assert parsed.database == "db"


NO_SUCH_ROLE = "does not exist"
"""A part of PostgreSQL's message about an unknown role."""


@pytest.mark.parametrize(
    ("url", "shown"),  # None: it can't be read
    [
        ("postgresql://db/ledger", "postgresql://db/ledger"),
        (f"postgres://ann:{SECRET}@db:5/ledger", "postgresql://…@db:5/ledger"),
        (f"postgresql://ann:x@{SECRET}@db/ledger", "postgresql://…@db/ledger"),
        (f"postgresql://ann:x@y/{SECRET}@db/ledger", None),
        (f"postgresql://ann:{SECRET}@db:port/ledger", None),
        (f"postgresql:///ledger?host=/run/pg&user=ann&password={SECRET}", "postgresql:///ledger?host=%2Frun%2Fpg"),
        (f"mysql://ann:{SECRET}@db/ledger", "mysql://…@db/ledger"),
        ("sqlite:////home/ann@work/ledger.sqlite", "sqlite:////home/ann@work/ledger.sqlite"),
    ],
)
def test_a_login_is_neither_shown_nor_stored(url: str, shown: str | None) -> None:
    if shown is None:
        check_user_text(shown_address(url))
        with pytest.raises(AddressError) as caught:
            parse_address(url)
        assert SECRET not in str(caught.value)
        with pytest.raises(LedgerError) as refused:
            open_ledger(url)
        assert not any(part in str(refused.value) for part in (SECRET, "ann", "@y"))
    else:
        assert shown_address(url) == shown
        assert SECRET not in portable(url)


def test_a_login_in_an_unsupported_address_is_not_shown() -> None:
    shown = shown_address(f"mysql://ann:x@{SECRET}@db/ledger?password={SECRET}")
    assert shown == "mysql://…@db/ledger"


def test_the_parts_of_a_login_exclude_the_name_of_the_database() -> None:
    assert credential_parts("postgresql://db/ledger") == frozenset()
    parts = credential_parts(f"postgresql://ledger:x%40{SECRET}@db/ledger")
    assert {f"x@{SECRET}", f"x%40{SECRET}"} <= parts
    assert "ledger" not in parts  # `database "ledger" does not exist` has to stay readable


@pytest.mark.parametrize("password", [SECRET, f"x@{SECRET}", f"x/{SECRET}", f"{SECRET}@x"])
def test_an_unreachable_server_is_reported_without_the_login(password: str) -> None:
    url = f"postgresql://canary-user:{password}@127.0.0.1:1/ledger"
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    message = str(caught.value)
    assert "127.0.0.1" in message
    assert not any(part in message for part in (SECRET, "canary-user"))


def test_a_user_name_in_an_error_of_the_server_is_not_repeated(postgres: PostgresServer) -> None:
    ledger = Ledger(postgres.new_database("addresses").replace("://postgres:", "://canary-user:", 1))
    try:
        with pytest.raises(OperationalError) as caught, ledger.read():
            pass
    finally:
        ledger.close()
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary-user" not in str(error)
        error = error.__cause__ or error.__context__
    assert NO_SUCH_ROLE in str(caught.value)
