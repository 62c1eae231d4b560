"""A ledger that can't be opened is refused with what to do, without a password and unchanged."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from sqlalchemy import text

from extend_pipeline.base.version import program_version
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import Ledger, LedgerError, open_ledger
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.steps import NOON
from extend_pipeline_tests.support.processes.another_user import as_another_user
from extend_pipeline_tests.support.user_texts import check_user_text

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


def _refusal(url: str) -> str:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    return str(caught.value)


def test_an_impossible_path_is_reported_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check_user_text(_refusal(f"sqlite:///{tmp_path}/file/ledger.sqlite"))
    (tmp_path / "folder").mkdir()
    check_user_text(_refusal(f"sqlite:///{tmp_path}/folder"))
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    check_user_text(_refusal(f"sqlite:///{tmp_path}/notes.txt"))
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


def test_a_read_only_folder_is_reported() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        locked = Path(place) / "locked"
        locked.mkdir(mode=0o555)
        check_user_text(as_another_user(_refusal, f"sqlite:///{locked}/ledger.sqlite"))


def test_an_unreachable_database_is_reported_without_the_password() -> None:
    refusal = _refusal("postgresql://ann:hidden-word@127.0.0.1:1/ledger")
    assert "hidden-word" not in refusal
    check_user_text(refusal)


def test_a_ledger_of_a_newer_version_is_refused_unchanged(ledger_url: str, ledger: Ledger) -> None:
    with ledger.write(now_ms=NOON, actor="newer") as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    check_user_text(_refusal(ledger_url), without={shown_address(ledger_url): "LEDGER", program_version(): "VERSION"})
