"""The traits of Vidu through ModelVerse (docs/upstream/vidu.md)."""

from collections.abc import Callable
from typing import Final

from extend_pipeline.config.model.target import Target
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.spec import LookUp, ProviderSpec, ResultKind, SourceKind
from extend_pipeline.providers.vidu.models import (
    MAX_MS,
    SOURCE_RANGE_MS,
    ViduAccount,
    ViduExtend,
    ViduSource,
    check,
)
from extend_pipeline.providers.vidu.prices import MAX_SECONDS, MIN_SECONDS, PRICE_KEYS, price_key
from extend_pipeline.providers.wire.credentials import key_auth

PATH: Final = "/v1/tasks/submit"


def _added_ms(extend: Target | None) -> tuple[int, int]:
    """Return the least and the greatest length that an extension adds, in ms: the configured one if there is one."""
    if isinstance(extend, ViduExtend):
        return extend.seconds * 1000, extend.seconds * 1000
    return MIN_SECONDS * 1000, MAX_SECONDS * 1000


def _build(account: ViduAccount, settings: Settings, now: Callable[[], float]) -> Provider:
    from extend_pipeline.providers.vidu.provider import ViduProvider
    from extend_pipeline.providers.wire.api_client import ApiClient  # httpx takes 0.1 s to load

    prefix = "" if account.auth == "raw" else "Bearer "  # docs/upstream/vidu.md, "Authentication"
    return ViduProvider(ApiClient.of(account, settings, key_auth(account, prefix), now))


SPEC: Final = ProviderSpec(
    name="vidu",
    source=ViduSource,
    extend=ViduExtend,
    account=ViduAccount,
    check=check,
    added_ms=_added_ms,
    longest_ms=MAX_MS,
    modes=(),
    price_keys=PRICE_KEYS,
    price_key=price_key,
    source_kind=SourceKind.URL,
    source_range_ms=SOURCE_RANGE_MS,
    source_life_ms=None,
    result_kind=ResultKind.MEASURED,
    result_life_ms=86_400_000,  # docs/upstream/vidu.md, "Retention": 24 h
    refreshes_urls=False,  # ModelVerse always returns the same URL
    reports_parent=False,
    reports_source_url=False,
    look_ups=frozenset({LookUp.NOTHING}),
    has_list=False,
    bill=None,
    callback=None,
    submit_path=lambda _source_id, _account: PATH,
    build=_build,
)
