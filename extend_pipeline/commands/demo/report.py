"""The report at the end of the demo: lineage trees, costs, and whether lengths and charges are consistent."""

from __future__ import annotations

import json
import urllib.request
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.render.home import with_home_option
from extend_pipeline.commands.render.output import console, say, text
from extend_pipeline.commands.render.table import Column, print_table
from extend_pipeline.commands.render.tables import print_blockers
from extend_pipeline.warehouse.read import query

if TYPE_CHECKING:
    from rich.tree import Tree

    from extend_pipeline.engine.home import Pipeline

LINEAGE = """
SELECT l.video_key, l.hop, l.depth, l.parent_video_id, l.video_id, l.duration_before_s, l.duration_after_s, l.prompt,
       c.units, coalesce(c.film_duration_s, c.probed_duration_s) AS film_s, c.output_kind
FROM lineage l JOIN completed_extensions c USING (attempt_id)
ORDER BY l.depth, l.video_key
"""
SPENT = "SELECT provider, sum(units) AS units FROM charges WHERE entry IN ('settle', 'adjust') GROUP BY ALL"
COSTS = """
SELECT account, if(grouping(charges.video_key) = 1, 'in all', video_key) AS video_key,
       count(*) FILTER (entry = 'settle') AS hops, sum(units) AS units, any_value(unit) AS unit, sum(amount) AS amount,
       currency
FROM charges WHERE entry IN ('settle', 'adjust')
GROUP BY GROUPING SETS ((account, video_key, currency), (account, currency))
ORDER BY grouping(charges.video_key), account, video_key
"""


def sandbox_units(url: str) -> dict[str, Decimal]:
    """Return the units that the sandbox has charged, by provider."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/_sandbox/charges", timeout=10) as response:
        accounts = json.load(response)["by_account"].values()
    return {account["provider"]: Decimal(str(account["units"])) for account in accounts if account["charges"]}


def print_report(pipeline: Pipeline, *, charged: dict[str, Decimal], seconds: float) -> bool:
    """Print trees, costs and paths; return whether lengths, charges and the ledger's invariants are all consistent."""
    from extend_pipeline.engine.publish import publish_if_changed
    from extend_pipeline.engine.status import status
    from extend_pipeline.ledger.projection.invariants import check_invariants

    publish_if_changed(pipeline)
    settings = pipeline.settings
    edges = _rows(pipeline, LINEAGE)
    for tree in _trees(edges):
        console().print(tree)
    print_blockers(status(pipeline).plan)
    say("")
    columns = [Column("account"), Column("video"), Column("hops", right=True, rank=2), Column("units", right=True)]
    columns += [Column("unit", rank=1), Column("amount", right=True), Column("currency")]
    rows = [[_format(value) for value in row.values()] for row in _rows(pipeline, COSTS)]
    say("costs by account, each in its own unit and currency")
    print_table(columns, rows)
    spent = {row["provider"]: row["units"] for row in _rows(pipeline, SPENT)}
    longer = all(edge["duration_after_s"] > edge["duration_before_s"] for edge in edges)
    probed = all(edge["duration_after_s"] == edge["film_s"] for edge in edges)
    violations = check_invariants(pipeline.ledger)
    for provider in sorted(spent | charged):
        ledger, sandbox = _units(spent.get(provider, Decimal())), _units(charged.get(provider, Decimal()))
        say(f"charges of {provider}: {ledger} in the warehouse, {sandbox} in the sandbox")
    lengths = f"each longer than its parent: {_yes(longer)}, as long as its probed file: {_yes(probed)}"
    say(f"lineage: {counted(len(edges), 'hop')}, {lengths}")
    for violation in violations:
        say(f"violated invariant: {violation}")
    say(f"done in {seconds:.0f} s. Files: {pipeline.store.place}")
    command = with_home_option('extend-pipeline sql "FROM duration_metrics"')
    say(f"Warehouse: {settings.warehouse_path}   ({command})")
    return bool(edges) and spent == charged and longer and probed and not violations


def _rows(pipeline: Pipeline, sql: str) -> list[dict[str, Any]]:
    table = query(pipeline.settings.warehouse_path, sql)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _trees(edges: list[dict[str, Any]]) -> list[Tree]:
    """Return a tree for each source. A branch is below the hop that it starts from."""
    from rich.tree import Tree

    results = {edge["video_id"] for edge in edges}
    nodes: dict[str, Tree] = {}
    roots = []
    for edge in edges:
        parent = edge["parent_video_id"]
        if parent not in results and parent not in nodes:
            before = edge["duration_before_s"]
            length = "of unknown length" if before is None else f"{float(before):g} s"
            label = f"{edge['video_key']}: source {parent}, {length}"
            nodes[parent] = Tree(text(label, "bold"))
            roots.append(nodes[parent])
        length, units = f"{float(edge['duration_after_s']):g} s", _units(edge["units"])
        kind = "" if edge["output_kind"] == "full" else f"  {edge['output_kind']}"
        label = f"{edge['video_key']}/{edge['hop']}  {length}  {units}{kind}  “{edge['prompt'] or ''}”"
        nodes[edge["video_id"]] = nodes[parent].add(text(label))
    return roots


def _units(amount: Decimal) -> str:
    return counted(Decimal(_format(amount)), "unit")


def _format(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
