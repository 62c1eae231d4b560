"""The traits of Kling through a reseller's gateway (docs/upstream/kling-gateway.md). Most are Kling's."""

from collections.abc import Callable
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.provider import always_adds
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.kling.models import MODES
from extend_pipeline.providers.kling.spec import KEPT_MS, PATH
from extend_pipeline.providers.kling_gateway.models import (
    PREFIX,
    GatewayAccount,
    GatewayExtend,
    GatewaySource,
    check,
)
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.spec import LookUp, ProviderSpec, ResultKind, SourceKind
from extend_pipeline.providers.wire.callback_body import named_task
from extend_pipeline.providers.wire.credentials import key_auth


def _build(account: GatewayAccount, settings: Settings, now: Callable[[], float]) -> Provider:
    from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
    from extend_pipeline.providers.wire.api_client import ApiClient  # httpx takes 0.1 s to load

    client = ApiClient.of(account, settings, key_auth(account), now)
    return GatewayProvider(client, forwarded_fields=account.passes, prefix=account.path_prefix)


def _submit_path(_source_id: str, account: Account | None) -> str:
    return (account.path_prefix if isinstance(account, GatewayAccount) else PREFIX) + PATH


SPEC: Final = ProviderSpec(
    name="kling-gateway",
    source=GatewaySource,
    extend=GatewayExtend,
    account=GatewayAccount,
    check=check,
    added_ms=always_adds(4_000, 5_000),  # docs/upstream/kling.md, "Length"
    longest_ms=180_000,  # docs/upstream/kling.md, "Length"
    modes=MODES,
    price_keys=MODES,
    price_key=lambda mode, _params: mode,
    source_kind=SourceKind.ID,
    source_range_ms=None,
    source_life_ms=KEPT_MS,
    result_kind=ResultKind.FULL,
    result_life_ms=KEPT_MS,
    refreshes_urls=True,
    reports_parent=True,
    reports_source_url=True,
    look_ups=frozenset(LookUp),  # by our own key only if the account passes external_task_id
    has_list=False,  # no gateway documents one
    bill=None,
    callback=named_task,
    submit_path=_submit_path,
    build=_build,
)
