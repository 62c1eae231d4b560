"""An account behind a company's own CA: stopped with the reason and not a unit spent; with `ca` set it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from extend_pipeline.commands.doctor.account_checks import check_upstream
from extend_pipeline.commands.doctor.diagnostics import Level
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, drive
from extend_pipeline_tests.support.servers.company_ca import ISSUER, make_company, needs_openssl, tls_before

pytestmark = needs_openssl


def test_the_account_stops_with_the_reason_and_resumes_once_the_ca_is_set(
    make_home: Callable[..., EngineHome], tmp_path: Path
) -> None:
    company = make_company(tmp_path)
    home = make_home()
    port = urlsplit(home.sandbox.base_url).port
    assert port is not None
    with tls_before(company.server, port) as listening:
        entries = home.seeded(1, steps=1)
        url = f"https://localhost:{listening}"
        home.write(entries, account(url))
        with home.open() as pipeline:
            for video in drive(pipeline).videos:
                assert video.blocker is not None
                assert video.blocker.reason is BlockReason.ACCOUNT_STOPPED
                assert ISSUER in video.blocker.message
                assert "unreachable" not in video.blocker.message
            assert status(pipeline).plan.needs_person
            (finding,) = check_upstream(pipeline.accounts["k"], pipeline.settings, now=lambda: 0.0)
            assert finding.level is Level.PROBLEM
            assert ISSUER in finding.message
        assert home.sandbox.charges()["charges"] == []
        written = {"defaults": {"ca": str(company.ca)}, "accounts": [account(url)]}
        (home.path / "accounts.yaml").write_text(json.dumps(written))
        with home.open() as pipeline:
            assert [video.blocker for video in drive(pipeline).videos] == [None]
            assert check_invariants(pipeline.ledger) == []
        assert len(home.sandbox.charges()["charges"]) == 1
