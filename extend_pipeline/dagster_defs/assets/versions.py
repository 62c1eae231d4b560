"""The versions in materializations' tags, by which Dagster says "Synced" or "Unsynced".

**Code version**: what a materialization is made by. An asset is "Unsynced" while its newest one has another.

* Tables: the digest of the warehouse's schema. Another schema makes the published file anew.
* The report: the digest of the tables', and of the room `report/`.
* Videos: `VIDEOS_CODE_VERSION`. It is raised by hand, and only if the same ledger is to give other materializations
  (another choice of hops, another data version), because the next runs of advance_job then record every video again, a
  part of them each.

**Data version**: what is in a materialization. While it stays, nothing below is "Unsynced" or published again.

* `source_videos`: the catalogue's entry, and whether the video is open, complete, or waits for an operator.
* `extension_requests`: how each request stands, and what was charged for it.
* `completed_extensions`: the stored hops of the film.
* Tables and report: the last event of the ledger in the published file.

**Inputs**: the newest materialization of what is above when this one was made, by its id in Dagster's event log. A
partition has one partition above it. A table has all of them, for which the newest id stands, however many there are.
Dagster writes these tags itself for a MaterializeResult. Events that an op yields as AssetMaterialization have them
from here.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Final

import dagster as dg
from dagster import DagsterEventType

from extend_pipeline.report.write import code_version
from extend_pipeline.warehouse.definitions import schema_version

VIDEOS_CODE_VERSION: Final = "1"

DATA_VERSION_TAG: Final = "dagster/data_version"
CODE_VERSION_TAG: Final = "dagster/code_version"
_USER_PROVIDED_TAG: Final = "dagster/data_version_is_user_provided"
_INPUT_VERSION_TAG: Final = "dagster/input_data_version/"
_INPUT_POINTER_TAG: Final = "dagster/input_event_pointer/"
_NEVER: Final = "NULL"  # Dagster's word for an input without a materialization

Tags = dict[str, str]


def tables_code_version() -> str:
    """Return the code version of the tables."""
    return schema_version()


def report_code_version() -> str:
    """Return the code version of the report."""
    return f"{tables_code_version()}-{code_version()}"


def version_tags(data_version: str, code_version: str, inputs: Mapping[str, str]) -> Tags:
    """Return the tags of a materialization that an op yields; `inputs` are those of its inputs."""
    return {
        CODE_VERSION_TAG: code_version,
        DATA_VERSION_TAG: data_version,
        _USER_PROVIDED_TAG: "true",
        **inputs,
    }


def says_the_same(tags: Mapping[str, str], known: Mapping[str, str]) -> bool:
    """Return whether a materialization with `known` tags makes another one with `tags` superfluous. An input's version
    is not compared, because Dagster writes it in another way for few partitions than for many."""
    return all(known.get(key) == value for key, value in tags.items() if not key.startswith(_INPUT_VERSION_TAG))


def data_versions(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Sequence[str]) -> dict[str, str]:
    """Return the data version of the newest materialization of each of these partitions that has one."""
    tags_by_key = instance.event_log_storage.get_latest_tags_by_partition(
        asset, DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION_TAG], asset_partitions=keys
    )
    return {key: tags[DATA_VERSION_TAG] for key, tags in tags_by_key.items() if DATA_VERSION_TAG in tags}


def newest_ids(instance: dg.DagsterInstance, asset: dg.AssetKey, keys: Collection[str]) -> Mapping[str, int]:
    """Return the id of the newest materialization of each of these partitions that has one."""
    if not keys:
        return {}  # Dagster would return all partitions
    storage, kind = instance.event_log_storage, DagsterEventType.ASSET_MATERIALIZATION
    return storage.get_latest_storage_id_by_partition(asset, kind, partitions=set(keys))


def partition_inputs(instance: dg.DagsterInstance, above: dg.AssetKey, keys: Collection[str]) -> dict[str, Tags]:
    """Return the tags of each partition's input, the partition of the asset above with the same key."""
    pointers = newest_ids(instance, above, keys)
    versions = data_versions(instance, above, list(pointers)) if pointers else {}
    without = None if len(pointers) == len(keys) else newest_event(instance, above)
    return {
        key: _input_tags(
            above,
            pointers.get(key, without and without[0]),
            sha256(versions.get(key, "").encode()).hexdigest(),  # as Dagster does, which joins those of all partitions
        )
        for key in keys
    }


def table_inputs(instance: dg.DagsterInstance, above: dg.AssetKey) -> Tags:
    """Return the tags of a table's input, all partitions of an asset. Take them before the file is published, which
    then holds everything that they name."""
    newest = newest_event(instance, above)
    return _input_tags(above, *(newest or (None, _NEVER)))


def _input_tags(above: dg.AssetKey, pointer: int | None, version: str) -> Tags:
    name = above.to_user_string()
    return {
        f"{_INPUT_VERSION_TAG}{name}": version,
        f"{_INPUT_POINTER_TAG}{name}": _NEVER if pointer is None else str(pointer),
    }


def newest_event(instance: dg.DagsterInstance, asset: dg.AssetKey) -> tuple[int, str] | None:
    """Return id and data version of an asset's newest materialization, of any partition."""
    for found in instance.get_asset_records([asset]):
        if (record := found.asset_entry.last_materialization_record) is not None:
            tags = record.event_log_entry.tags or {}
            return record.storage_id, tags.get(DATA_VERSION_TAG, _NEVER)
    return None
