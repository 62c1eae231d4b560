"""A ledger's address as people write it, and what of it is shown: nothing between the scheme and the last `@`."""

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
def test_every_spelling_of_postgresql_means_the_driver_that_is_here(scheme: str) -> None:
    parsed = parse_address(f"{scheme}://ann:word@db.example:6432/ledger?sslmode=require")
    assert parsed.drivername == "postgresql+psycopg"
    assert (parsed.username, parsed.password, parsed.host, parsed.port) == ("ann", "word", "db.example", 6432)
    assert (parsed.database, dict(parsed.query)) == ("ledger", {"sslmode": "require"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("p@ss", "p@ss"), ("p%40ss", "p@ss"), ("p@@s:s", "p@@s:s"), ("p/s?s#", "p/s?s#"), ("p%2Fs@x", "p/s@x"), ("", "")],
)
def test_a_password_is_taken_as_it_was_meant_where_only_one_reading_is_possible(written: str, meant: str) -> None:
    parsed = parse_address(f"postgresql://ann:{written}@db.example/ledger")
    assert (parsed.username, parsed.password, parsed.host) == ("ann", meant, "db.example")


@pytest.mark.parametrize(
    ("url", "user", "password", "host"),
    [
        ("postgresql:///db?host=/cloudsql/p:r:i&user=sa@project.iam", None, None, None),
        ("postgresql://localhost/db?application_name=me@work", None, None, "localhost"),
        ("postgresql://u:p@localhost:5/db?application_name=me@work", "u", "p", "localhost"),
        ("postgresql://u:p@[::1]:5/db", "u", "p", "::1"),
    ],
)
def test_an_at_in_a_parameter_is_none_of_a_log_in(
    url: str, user: str | None, password: str | None, host: str | None
) -> None:
    parsed = parse_address(url)
    assert (parsed.username, parsed.password, parsed.host) == (user, password, host)
    assert parsed.database == "db"


NO_SUCH_ROLE = "does not exist"
"""PostgreSQL's own words."""


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
def test_nothing_of_a_log_in_is_shown_or_kept(url: str, shown: str | None) -> None:
    if shown is None:
        check_user_text(shown_address(url))
        with pytest.raises(AddressError) as caught:
            parse_address(url)
        assert SECRET not in str(caught.value)
        with pytest.raises(LedgerError) as refused:
            open_ledger(url)
        assert not any(word in str(refused.value) for word in (SECRET, "ann", "@y"))
    else:
        assert shown_address(url) == shown
        assert SECRET not in portable(url)


def test_nothing_of_a_log_in_is_shown_where_no_ledger_can_be() -> None:
    shown = shown_address(f"mysql://ann:x@{SECRET}@db/ledger?password={SECRET}")
    assert shown == "mysql://…@db/ledger"


def test_the_words_of_a_log_in_are_not_taken_for_those_of_the_host() -> None:
    assert credential_parts("postgresql://db/ledger") == frozenset()
    words = credential_parts(f"postgresql://ledger:x%40{SECRET}@db/ledger")
    assert {f"x@{SECRET}", f"x%40{SECRET}"} <= words
    assert "ledger" not in words  # `database "ledger" does not exist` has to stay readable


@pytest.mark.parametrize("password", [SECRET, f"x@{SECRET}", f"x/{SECRET}", f"{SECRET}@x"])
def test_a_server_that_can_not_be_reached_is_told_without_the_log_in(password: str) -> None:
    url = f"postgresql://canary-user:{password}@127.0.0.1:1/ledger"
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    told = str(caught.value)
    assert "127.0.0.1" in told
    assert not any(word in told for word in (SECRET, "canary-user"))


def test_a_server_that_repeats_the_user_s_name_is_not_repeated(postgres: PostgresServer) -> None:
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
