"""What the demo prints at its end: lineage trees, the cost table, and whether everything adds up."""

from __future__ import annotations

import json
import urllib.request
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from extend_pipeline.commands.output import Column, console, print_table, say, text
from extend_pipeline.warehouse.read import query

if TYPE_CHECKING:
    from rich.tree import Tree

    from extend_pipeline.engine.pipeline import Pipeline

LINEAGE = """
SELECT l.video_key, l.hop, l.depth, l.parent_video_id, l.video_id, l.duration_before_s, l.duration_after_s, l.prompt,
       c.units, c.probed_duration_s
FROM lineage l JOIN completed_extensions c USING (attempt_id)
ORDER BY l.depth, l.video_key
"""
SPENT = "SELECT coalesce(sum(units), 0) FROM charges WHERE entry IN ('settle', 'adjust')"
COSTS = """
SELECT video_key, account, count(*) FILTER (entry = 'settle') AS hops, sum(units) AS units, any_value(unit) AS unit,
       sum(amount) AS amount, currency
FROM charges WHERE entry IN ('settle', 'adjust') GROUP BY ALL ORDER BY video_key
"""


def sandbox_units(url: str) -> Decimal:
    """What the sandbox charged, by its own book."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/_sandbox/charges", timeout=10) as answer:
        return Decimal(str(json.load(answer)["total_units"]))


def print_report(pipeline: Pipeline, *, charged: Decimal, seconds: float) -> bool:
    """Print trees, costs and places; answers whether targets, durations and charges all hold."""
    from extend_pipeline.engine.publish import publish_if_changed
    from extend_pipeline.engine.status import status
    from extend_pipeline.ledger.invariants import check_invariants

    publish_if_changed(pipeline)
    target = pipeline.settings.warehouse_path
    edges = _rows(pipeline, LINEAGE)
    out = console()
    for tree in _trees(edges):
        out.print(tree)
    for video in status(pipeline).needs_person:
        if video.hindrance is not None:
            say(f"{video.key}: not extended: {video.hindrance.message}. {video.hindrance.todo}")
    say("")
    columns = [Column("video"), Column("account"), Column("hops", right=True), Column("units", right=True)]
    columns += [Column("unit"), Column("amount", right=True), Column("currency")]
    rows = [[str(value) for value in row.values()] for row in _rows(pipeline, COSTS)]
    print_table(columns, rows, title="what it cost, by the warehouse")
    spent = Decimal(next(iter(_rows(pipeline, SPENT)[0].values())))
    grows = all(e["duration_after_s"] > e["duration_before_s"] for e in edges)
    probed = all(e["duration_after_s"] == e["probed_duration_s"] for e in edges)
    broken = check_invariants(pipeline.ledger)
    say(f"charges: {spent} units in the warehouse, {charged} in the sandbox's charge book")
    told = f"each longer than its parent: {_yes(grows)}, as long as its probed file: {_yes(probed)}"
    say(f"lineage: {len(edges)} hops, {told}")
    for line in broken:
        say(f"broken promise: {line}")
    say(f"done in {seconds:.0f} s. Files: {pipeline.settings.media_dir}")
    say(f'Warehouse: {target}   (extend-pipeline --home {pipeline.settings.home} sql "FROM duration_metrics")')
    return bool(edges) and spent == charged and grows and probed and not broken


def _rows(pipeline: Pipeline, sql: str) -> list[dict[str, Any]]:
    table = query(pipeline.settings.warehouse_path, sql)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _trees(edges: list[dict[str, Any]]) -> list[Tree]:
    """A tree for each source; a branch hangs where it leaves its parent."""
    from rich.tree import Tree

    made = {edge["video_id"] for edge in edges}
    nodes: dict[str, Tree] = {}
    roots = []
    for edge in edges:
        above = edge["parent_video_id"]
        if above not in made and above not in nodes:
            nodes[above] = Tree(
                text(f"{edge['video_key']}: source {above}, {float(edge['duration_before_s']):g} s", "bold")
            )
            roots.append(nodes[above])
        length, units = f"{float(edge['duration_after_s']):g} s", f"{edge['units'].normalize():f} units"
        told = f"{edge['video_key']}/{edge['hop']}  {length}  {units}  “{edge['prompt'] or ''}”"
        nodes[edge["video_id"]] = nodes[above].add(text(told))
    return roots


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
