"""The upstream systems on localhost, written from their documents; imports nothing else of the package.

For tests and the demo: a real HTTP server with checks, run times, faults, a charge book and real MP4 files.
"""

from extend_pipeline.sandbox.config import SandboxAccount, SandboxConfig, SandboxError, Seed
from extend_pipeline.sandbox.handle import SandboxHandle
from extend_pipeline.sandbox.kling_gateway.settings import GatewayConfig, Reserialised
from extend_pipeline.sandbox.luma.settings import LumaConfig
from extend_pipeline.sandbox.server import check_seeds, running_sandbox, serve
from extend_pipeline.sandbox.surface.settings import KeyAccount
from extend_pipeline.sandbox.vidu.settings import ViduConfig

__all__ = [
    "GatewayConfig",
    "KeyAccount",
    "LumaConfig",
    "Reserialised",
    "SandboxAccount",
    "SandboxConfig",
    "SandboxError",
    "SandboxHandle",
    "Seed",
    "ViduConfig",
    "check_seeds",
    "running_sandbox",
    "serve",
]
