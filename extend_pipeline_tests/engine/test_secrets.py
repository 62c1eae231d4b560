"""Keys of the account are in no file of the home and in nothing that a process says, whatever went wrong."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.ledger.database import LedgerError, open_ledger
from extend_pipeline_tests.support.children import advancing
from extend_pipeline_tests.support.engine_home import EngineHome, set_credentials

ACCESS = "canary-access-7b1f0c9de2a8"
SECRET = "canary-secret-4e5d6f7a8b9c0d1e2f3a4b5c"
FAULTS: list[dict[str, Any]] = [
    {"kind": "reset_after", "where": "submit"},
    {"kind": "5xx_after", "where": "submit"},
    {"kind": "html", "where": "submit"},
    {"kind": "fail_task", "where": "submit", "skip": 4},
    {"kind": "not_json", "where": "query"},
    {"kind": "auth_1004", "where": "query"},
    {"kind": "cut_download", "where": "download"},
    {"kind": "code_1001", "where": "submit", "skip": 6},
]


def leaks(folder: Path, *secrets: str) -> list[str]:
    """Files below a folder that hold one of the secrets, plainly or in base64."""
    plain = [secret.encode() for secret in secrets]
    needles = [*plain, *(base64.b64encode(secret)[:-4] for secret in plain)]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if any(needle in path.read_bytes() for needle in needles)]


def test_no_file_and_no_output_holds_a_key_after_a_run_with_failures(
    make_home: Callable[..., EngineHome], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(access_key=ACCESS, secret_key=SECRET)
    set_credentials(monkeypatch, access=ACCESS, secret=SECRET)
    home.seeded(7, steps=2)
    home.sandbox.faults(FAULTS)
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    told, codes = "", []
    for number, points in enumerate(("collect.before_stored=kill", "settle.before_write=raise@2", "")):
        run = advancing(
            settings, home.path / f"run{number}.txt", points=points, skipped_ms=number * 10_000, max_seconds=6
        )
        codes.append(run.wait())
        told += run.told
    assert codes == [-9, 1, 1]  # killed, crashed, and at the end something needs a person
    assert any(order["fired"] for order in home.sandbox.faults())
    assert (home.path / "state" / "ledger.sqlite").stat().st_size > 50_000
    assert (home.path / "state" / "warehouse.duckdb").exists()
    assert list(home.settings.media_dir.rglob("*.mp4"))
    assert "Traceback" in told  # a crash is told, and it tells no secret either
    assert leaks(home.path, SECRET, ACCESS) == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:canary-pass@127.0.0.1:1/none",
        "postgresql://ann:canary-pass@127.0.0.1:port/none",
        "postgresql+psycopg2://ann:canary-pass@127.0.0.1:1/none",
        "postgresql+nosuchdriver://ann:canary-pass@127.0.0.1:1/none",
        "mysql://ann:canary-pass@127.0.0.1/none",
        "nonsense canary-pass",
    ],
)
def test_a_ledger_that_cannot_be_opened_says_why_and_not_the_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    assert "canary-pass" not in str(caught.value)
    assert "EXTEND_PIPELINE_LEDGER_URL" in str(caught.value)
