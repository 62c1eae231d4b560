"""The asset extension_report: an HTML file about the published warehouse."""

from datetime import UTC, datetime
from typing import Any, Final

import dagster as dg

from extend_pipeline.base.wording import counted
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.dagster_defs.assets.numbers import PLOT
from extend_pipeline.dagster_defs.assets.tables import PUBLISHED, data_version
from extend_pipeline.dagster_defs.assets.versions import report_code_version
from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.dagster_defs.resources import failure
from extend_pipeline.report.contents import Contents
from extend_pipeline.report.numbers import money, number
from extend_pipeline.report.write import Written, write_report
from extend_pipeline.warehouse.errors import WarehouseError

EXTENSION_REPORT: Final = dg.AssetKey("extension_report")


def build_extension_report(mount: Mount) -> dg.AssetsDefinition:
    """Return the asset of the report, for a mount."""

    @dg.asset(
        key=mount.asset(EXTENSION_REPORT),
        deps=[mount.asset(table.asset) for table in PUBLISHED],
        description="One HTML file about the published warehouse: what is finished, growing and waiting for a person, "
        "what was spent by currency, day and account, and the videos with the highest cost. It is about the file as it "
        "was published last; its metadata say when that was.",
        code_version=report_code_version(),
        kinds={"html"},
        tags=mount.tags,
        owners=mount.owners,
        group_name=mount.group("tables"),
        required_resource_keys={mount.home_key},
    )
    def extension_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        """Write the report, without opening the ledger."""
        home = mount.home_of(context)
        try:
            settings = home.settings()
        except ConfigError as error:
            raise failure(error) from None
        try:
            written = write_report(settings.warehouse_path, settings.report_path, timezone=home.timezone())
        except WarehouseError as error:
            raise dg.Failure(settings.with_home(str(error)), allow_retries=False) from None
        except OSError as error:
            raise dg.Failure(
                f"{settings.report_path} can't be written: {error.strerror or error}", allow_retries=False
            ) from None
        about = written.contents
        return dg.MaterializeResult(
            metadata=_metadata(written),
            data_version=dg.DataVersion(data_version(about.ledger_seq, about.ledger_event)),
        )

    return extension_report


def _metadata(written: Written) -> dict[str, Any]:
    about, totals = written.contents, written.contents.totals
    numbers: dict[str, Any] = {
        "videos_complete": totals.complete,
        "videos_growing": totals.growing,
        "videos_waiting_for_a_person": totals.blocked,
        "extensions": totals.hops,
        "added_s": float(totals.added_s),
    }
    for row in about.money:
        numbers |= {f"spent_{row.currency}": f"{row.spent:f}", f"{PLOT}spent_{row.currency}": float(row.spent)}
    age = datetime.now(UTC) - about.published_at
    return {
        "summary": dg.MetadataValue.md(_summary(about)),
        "file": dg.MetadataValue.path(str(written.path)),
        "bytes": written.size,
        **numbers,
        "ledger_seq": about.ledger_seq,
        "published_at": dg.MetadataValue.timestamp(about.published_at),
        "age_hours": round(age.total_seconds() / 3600, 2),
    }


def _summary(about: Contents) -> str:
    """Return a few lines of markdown. Only numbers and currencies are in it, because names could be markdown."""
    totals = about.totals
    lines = [
        f"{counted(totals.complete, 'video')} finished, {totals.growing} growing",
        f"{counted(totals.blocked, 'video')} waiting for a person",
        f"{counted(totals.hops, 'hop')}, {number(totals.added_s)} seconds gained",
        *(f"{row.currency} {money(row.spent)} spent, {money(row.reserved)} reserved" for row in about.money),
        f"as published at {about.published_at:%Y-%m-%d %H:%M} ({about.timezone})",
    ]
    return "\n".join(f"* {line}" for line in lines)
