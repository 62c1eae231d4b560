"""The traits of Kling through a reseller: Kling's, but for those named here (docs/upstream/kling-gateway.md)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.kling.spec import PATH
from extend_pipeline.providers.kling.spec import SPEC as KLING
from extend_pipeline.providers.kling_gateway.models import (
    PREFIX,
    GatewayAccount,
    GatewayExtend,
    GatewaySource,
    check,
)
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.spec import LookUp
from extend_pipeline.providers.wire.credentials import key_auth


def _build(account: GatewayAccount, settings: Settings, now: Callable[[], float]) -> Provider:
    from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
    from extend_pipeline.providers.wire.api_client import ApiClient  # httpcore takes 0.1 s to load

    client = ApiClient.of(account, settings, key_auth(account), now)
    return GatewayProvider(client, forwarded_fields=account.passes, prefix=account.path_prefix)


def _submit_path(_source_id: str, account: Account | None) -> str:
    return (account.path_prefix if isinstance(account, GatewayAccount) else PREFIX) + PATH


SPEC: Final = replace(
    KLING,
    name="kling-gateway",
    source=GatewaySource,
    extend=GatewayExtend,
    account=GatewayAccount,
    check=check,
    look_ups=frozenset(LookUp),  # by our own key only if the account passes external_task_id
    has_list=False,  # no gateway documents one
    bill=None,
    submit_path=_submit_path,
    build=_build,
)
