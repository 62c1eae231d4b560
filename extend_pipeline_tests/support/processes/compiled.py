"""Statements compiled once for all the ledgers that a process opens, one after another. SQLAlchemy keeps them by
engine, and here every home has an engine of its own; it is a third of what a short process costs."""

from __future__ import annotations

from typing import Any, Final

from extend_pipeline.ledger.database import Ledger

_shared: Final[dict[str, tuple[Any, Any]]] = {}


def share_compiled(ledger: Ledger) -> None:
    """Let a ledger use the dialect, and what it has compiled, of the first one that was given here."""
    engine = ledger.engine
    dialect, compiled = _shared.setdefault(ledger.dialect, (engine.dialect, engine._compiled_cache))
    engine.dialect, engine._compiled_cache = dialect, compiled
