"""What surfaces of resellers have in common: a key says who calls, and error bodies have a shape that can be set."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.surface.error_shapes import shaped
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import ProviderSurface
from extend_pipeline.sandbox.surface.keys import name_of
from extend_pipeline.sandbox.surface.settings import ResellerConfig


class ResellerSurface(ProviderSurface[Refusal]):
    """A provider's API through a reseller."""

    def __init__(self, core: Core, config: ResellerConfig) -> None:
        """Serve that sandbox's accounts as the settings say."""
        super().__init__(core)
        self._reseller = config

    def caller(self, request: Request) -> str | Refusal:
        """Return the account of a key."""
        return name_of(request, self._reseller.accounts) or Refusal(1002)

    def by_code(self, code: int) -> Refusal:
        """Return the refusal with that code."""
        return Refusal(code)

    def refused(self, refusal: Refusal) -> Response:
        """Return an error body of the shape that is set."""
        return shaped(self._reseller.error_shape, refusal)
