"""The check `accounts_run` asks the ledger which accounts have work, and plans nothing."""

from __future__ import annotations

import pytest

from extend_pipeline.dagster_defs.checks.needs import accounts_run
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.plan import inputs
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import account, video, write_home

UNSET = {"access_key_env": "TEST_UNSET_ACCESS_KEY", "secret_key_env": "TEST_UNSET_SECRET_KEY"}


def test_an_account_without_a_key_is_reported_while_it_has_a_video(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place.sandbox.base_url
    accounts = [account(url, name=name, credentials=UNSET) for name in ("busy", "idle")]

    def described(*keys: str) -> str:
        write_home(place.home, url, [video(key, account="busy") for key in keys], accounts=accounts)
        with place.resource.open() as pipeline:
            declare_catalogue(pipeline)
            with monkeypatch.context() as patch:
                patch.delattr(inputs, "next_hops")  # what every plan calls
                result = accounts_run(pipeline)
        return str(result.description)

    assert described("one").startswith("busy: ")
    assert "idle" not in described("one")
    assert described() == "no findings"
