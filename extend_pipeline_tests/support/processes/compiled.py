"""SQL statements compiled once for all the ledgers that a process opens. SQLAlchemy caches them by engine, and in tests
every home has its own engine; compiling takes a third of the time of a short process."""

from __future__ import annotations

from typing import Any, Final

from extend_pipeline.ledger.database import Ledger

_shared: Final[dict[str, tuple[Any, Any]]] = {}


def share_compiled(ledger: Ledger) -> None:
    """Make a ledger use the dialect and the compiled statements of the first ledger that was passed."""
    engine = ledger.engine
    dialect, compiled = _shared.setdefault(ledger.dialect, (engine.dialect, engine._compiled_cache))
    engine.dialect, engine._compiled_cache = dialect, compiled
