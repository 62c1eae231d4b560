"""What the webserver says of assets, by its own GraphQL schema and without a server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from extend_pipeline import definitions  # loaded now, before a test replaces a code version

TABLES = ("extension_lineage", "extension_costs", "extension_durations")
VIDEOS = ("source_videos", "extension_requests", "completed_extensions")

_OF_TABLES = """
query Tables($keys: [AssetKeyInput!]) {
  assetNodes(assetKeys: $keys) { assetKey { path } staleStatus staleCauses { category } }
}
"""
_OF_PARTITIONS = """
query Partitions($keys: [AssetKeyInput!], $partitions: [String!]) {
  assetNodes(assetKeys: $keys) {
    assetKey { path }
    staleStatusByPartition(partitions: $partitions)
    staleCausesByPartition(partitions: $partitions) { category }
  }
}
"""


def ask(instance: dg.DagsterInstance, query: str, **variables: Any) -> Any:
    """Return the data of a GraphQL query about this project's own definitions in an instance."""
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=definitions.__name__)
    )
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget([origin])) as process:
        result = execute_dagster_graphql(process.create_request_context(), query, variables)
    assert not result.errors, result.errors
    return result.data


def unsynced(
    instance: dg.DagsterInstance, partitions: Sequence[str], *, tables: Sequence[str] = TABLES
) -> dict[str, str]:
    """Return what the UI shows of each table, and of each asset's partitions, that does not read "Synced": MISSING, or
    by what it is "Unsynced" (DATA, CODE, DEPENDENCIES). A partition is named as `asset/partition`."""
    shown: list[tuple[str, str, list[dict[str, str]]]] = []
    for node in ask(instance, _OF_TABLES, keys=_keys(tables))["assetNodes"]:
        shown.append((node["assetKey"]["path"][0], node["staleStatus"], node["staleCauses"]))
    for node in ask(instance, _OF_PARTITIONS, keys=_keys(VIDEOS), partitions=list(partitions))["assetNodes"]:
        places = [f"{node['assetKey']['path'][0]}/{key}" for key in partitions]
        shown += zip(places, node["staleStatusByPartition"], node["staleCausesByPartition"], strict=True)
    return {
        place: ", ".join(cause["category"] for cause in causes) or status
        for place, status, causes in shown
        if status != "FRESH"
    }


def _keys(names: Sequence[str]) -> list[dict[str, list[str]]]:
    return [{"path": [name]} for name in names]
