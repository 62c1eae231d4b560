"""Keys of the account are in no file of the home and in no output of a process, also after failures."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import LedgerError, open_ledger
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.warehouse.read import query
from extend_pipeline.warehouse.schema import TABLES
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive, set_credentials
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.processes.children import advancing

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
    """Return the files below a folder that hold one of the secrets, plainly or in base64."""
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
    output, codes = "", []
    for number, points in enumerate(("collect.before_stored=kill", "collect.before_stored=raise", "")):
        run = advancing(
            settings, home.path / f"run{number}.txt", points=points, skipped_ms=number * 10_000, max_seconds=6
        )
        codes.append(run.wait())
        output += run.output_text
    assert codes == [-9, 1, 1]  # killed, crashed, and at the end something needs the operator
    assert any(order["fired"] for order in home.sandbox.faults())
    assert (home.path / "state" / "ledger.sqlite").stat().st_size > 50_000
    assert (home.path / "state" / "warehouse.duckdb").exists()
    assert list(home.settings.media_dir.rglob("*.mp4"))
    assert "Traceback" in output  # a crash is reported, without a secret
    assert leaks(home.path, SECRET, ACCESS) == []


def test_the_warehouse_holds_no_signature_of_a_url(home: EngineHome) -> None:
    """Vidu's results are named by URLs that give access to their file; the next hop is submitted with one."""
    other_home(home, "vidu", steps=2)
    with home.open() as pipeline:
        assert drive(pipeline, publish=True).videos[0].state is VideoState.COMPLETE
        with pipeline.ledger.read() as connection:
            signed = list(connection.execute(select(tables.attempts.c.video_id)).scalars())
    signatures = [url.partition("?")[2] for url in signed]
    assert len(signatures) == 2
    assert all("sig=" in signature for signature in signatures)
    texts: list[str] = []
    for schema in TABLES:
        rows = query(home.settings.warehouse_path, f"SELECT * FROM {schema.name}").rows
        texts += [value for row in rows for value in row if isinstance(value, str)]
    assert sum("-extended.mp4?sha256=" in text for text in texts) >= 6
    assert any("-extended.mp4?[query]" in text for text in texts), "the request of the second hop"
    assert not any("sig=" in text for text in texts)
    chained = "SELECT count(*) FROM lineage AS a JOIN lineage AS b ON a.video_id = b.parent_video_id"
    assert query(home.settings.warehouse_path, chained).rows == [(1,)]


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
def test_a_ledger_that_cannot_be_opened_names_the_reason_and_not_the_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    assert "canary-pass" not in str(caught.value)
    assert "EXTEND_PIPELINE_LEDGER_URL" in str(caught.value)
