"""The traits of Kling's official API (docs/upstream/kling.md)."""

from collections.abc import Callable
from typing import Final

from extend_pipeline.config.model.provider import always_adds
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.kling.models import MODES, KlingAccount, KlingExtend, KlingSource, check
from extend_pipeline.providers.protocol import Provider, QueryFailed
from extend_pipeline.providers.spec import Bill, LookUp, ProviderSpec, ResultKind, SourceKind
from extend_pipeline.providers.wire.callback_body import named_task

PATH: Final = "/v1/videos/video-extend"
KEPT_MS: Final = 30 * 86_400_000  # docs/upstream/kling.md, "Retention"


def _build(account: KlingAccount, settings: Settings, now: Callable[[], float]) -> Provider:
    # imported here because httpx takes 0.1 s to load, and a plan sends nothing
    from extend_pipeline.providers.kling.auth import KlingAuth
    from extend_pipeline.providers.kling.provider import KlingProvider
    from extend_pipeline.providers.wire.api_client import ApiClient

    return KlingProvider(ApiClient.of(account, settings, KlingAuth(account.credentials, now=now), now))


def _bill(provider: Provider, since_ms: int, until_ms: int, pause: Callable[[float], None]) -> Bill | QueryFailed:
    # imported here because only a reconciliation reads bills
    from extend_pipeline.providers.kling.billing import read_bill

    return read_bill(provider, since_ms, until_ms, pause)


SPEC: Final = ProviderSpec(
    name="kling",
    source=KlingSource,
    extend=KlingExtend,
    account=KlingAccount,
    check=check,
    added_ms=always_adds(4_000, 5_000),  # docs/upstream/kling.md, "Length"
    longest_ms=180_000,  # docs/upstream/kling.md, "Length"
    modes=MODES,
    price_keys=MODES,
    price_key=lambda mode, _params: mode,
    source_kind=SourceKind.ID,
    source_range_ms=None,
    source_life_ms=KEPT_MS,
    result_kind=ResultKind.FULL,  # docs/upstream/kling.md, "Result": the whole video
    result_life_ms=KEPT_MS,
    refreshes_urls=True,
    reports_parent=True,
    reports_source_url=True,
    look_ups=frozenset(LookUp),
    has_list=True,
    bill=_bill,
    callback=named_task,
    submit_path=lambda _source_id, _account: PATH,
    build=_build,
)
