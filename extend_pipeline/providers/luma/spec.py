"""The traits of Luma through a reseller (docs/upstream/luma.md)."""

from collections.abc import Callable
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.provider import always_adds
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.luma.body import extend_path
from extend_pipeline.providers.luma.models import PREFIX, LumaAccount, LumaExtend, LumaSource, check
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.spec import LookUp, ProviderSpec, ResultKind, SourceKind
from extend_pipeline.providers.wire.callback_body import named_task
from extend_pipeline.providers.wire.credentials import key_auth


def _build(account: LumaAccount, settings: Settings, now: Callable[[], float]) -> Provider:
    from extend_pipeline.providers.luma.provider import LumaProvider
    from extend_pipeline.providers.wire.api_client import ApiClient  # httpx takes 0.1 s to load

    client = ApiClient.of(account, settings, key_auth(account), now)
    return LumaProvider(client, batch_query=account.batch_query, prefix=account.path_prefix)


def _submit_path(source_id: str, account: Account | None) -> str:
    return (account.path_prefix if isinstance(account, LumaAccount) else PREFIX) + extend_path(source_id)


SPEC: Final = ProviderSpec(
    name="luma",
    source=LumaSource,
    extend=LumaExtend,
    account=LumaAccount,
    check=check,
    added_ms=always_adds(4_000, 6_000),  # docs/upstream/luma.md, "Result": about 5 s
    longest_ms=None,
    modes=(),
    price_keys=(),
    price_key=lambda _mode, _params: None,
    source_kind=SourceKind.ID,
    source_range_ms=None,
    source_life_ms=None,
    result_kind=ResultKind.MEASURED,
    result_life_ms=86_400_000,  # results outlive their presigned URLs, whose expiry is in the URL
    refreshes_urls=True,
    reports_parent=False,
    reports_source_url=False,
    look_ups=frozenset({LookUp.CALLBACK, LookUp.NOTHING}),
    has_list=False,  # no reseller documents one
    bill=None,
    callback=named_task,
    submit_path=_submit_path,
    build=_build,
)
