"""What the demo prints at its end: lineage trees, the cost table, and whether everything adds up."""

from __future__ import annotations

import json
import urllib.request
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.render.output import console, say, text
from extend_pipeline.commands.render.table import Column, print_table
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
    """Return what the sandbox charged, by its own book: units by provider."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/_sandbox/charges", timeout=10) as answer:
        book = json.load(answer)["by_account"].values()
    return {entry["provider"]: Decimal(str(entry["units"])) for entry in book if entry["charges"]}


def print_report(pipeline: Pipeline, *, charged: dict[str, Decimal], seconds: float) -> bool:
    """Print trees, costs and places; answers whether targets, durations and charges all hold."""
    from extend_pipeline.engine.publish import publish_if_changed
    from extend_pipeline.engine.status import status
    from extend_pipeline.ledger.projection.invariants import check_invariants

    publish_if_changed(pipeline)
    target = pipeline.settings.warehouse_path
    edges = _rows(pipeline, LINEAGE)
    out = console()
    for tree in _trees(edges):
        out.print(tree)
    for video in status(pipeline).needs_person:
        if video.blocker is not None:
            say(f"{video.key}: not extended: {video.blocker.message}")
            say(f"    → {video.blocker.todo}")
    say("")
    columns = [Column("account"), Column("video"), Column("hops", right=True, rank=2), Column("units", right=True)]
    columns += [Column("unit", rank=1), Column("amount", right=True), Column("currency")]
    rows = [[_shown(value) for value in row.values()] for row in _rows(pipeline, COSTS)]
    print_table(columns, rows, title="what it cost, by account in its own unit and currency")
    spent = {row["provider"]: row["units"] for row in _rows(pipeline, SPENT)}
    grows = all(e["duration_after_s"] > e["duration_before_s"] for e in edges)
    probed = all(e["duration_after_s"] == e["film_s"] for e in edges)
    broken = check_invariants(pipeline.ledger)
    for provider in sorted(spent | charged):
        ours, theirs = _units(spent.get(provider, Decimal())), _units(charged.get(provider, Decimal()))
        say(f"charges of {provider}: {ours} in the warehouse, {theirs} in the sandbox's charge book")
    told = f"each longer than its parent: {_yes(grows)}, as long as its probed file: {_yes(probed)}"
    say(f"lineage: {counted(len(edges), 'hop')}, {told}")
    for line in broken:
        say(f"broken promise: {line}")
    say(f"done in {seconds:.0f} s. Files: {pipeline.store.place}")
    say(f'Warehouse: {target}   (extend-pipeline --home {pipeline.settings.home} sql "FROM duration_metrics")')
    return bool(edges) and spent == charged and grows and probed and not broken


def _rows(pipeline: Pipeline, sql: str) -> list[dict[str, Any]]:
    table = query(pipeline.settings.warehouse_path, sql)
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _trees(edges: list[dict[str, Any]]) -> list[Tree]:
    """Return a tree for each source; a branch hangs where it leaves its parent."""
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
        length, units = f"{float(edge['duration_after_s']):g} s", _units(edge["units"])
        kind = "" if edge["output_kind"] == "full" else f"  {edge['output_kind']}"
        told = f"{edge['video_key']}/{edge['hop']}  {length}  {units}{kind}  “{edge['prompt'] or ''}”"
        nodes[edge["video_id"]] = nodes[above].add(text(told))
    return roots


def _units(amount: Decimal) -> str:
    return counted(Decimal(_shown(amount)), "unit")


def _shown(value: object) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
