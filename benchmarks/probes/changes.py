"""Makes 100 changes that the next publish has to take up: fresh URLs of stored results."""

from __future__ import annotations

from sqlalchemy import select

from benchmarks.probes.home import home_ledger, report
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.write import transitions

CHANGES = 100


def main() -> None:
    """Change CHANGES attempts in one transaction."""
    now_ms = wall_ms()
    table = tables.attempts
    with home_ledger() as ledger, ledger.write(now_ms=now_ms, actor="bench") as tx:
        chosen = select(table.c.attempt_id, table.c.url).where(table.c.state == "stored").limit(CHANGES)
        rows = tx.connection.execute(chosen).all()
        for row in rows:
            transitions.refresh_url(tx, row.attempt_id, url=f"{row.url}?{now_ms}", expires_at=now_ms + 86_400_000)
    report(changes=len(rows))


if __name__ == "__main__":
    main()
