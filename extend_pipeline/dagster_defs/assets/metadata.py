"""Metadata of a partition in Dagster's UI. Text from catalogues and providers is shown as plain text; only the poster,
which we make, is markdown. Every number is plotted by Dagster; `plot_…` are money, rounded, for plots alone."""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, Final

import dagster as dg

from extend_pipeline.base.units import from_micros, from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.dagster_defs.assets.numbers import PLOT
from extend_pipeline.dagster_defs.assets.partition_state import VideoFacts, in_order
from extend_pipeline.dagster_defs.assets.request_end import Spent, booked
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import VideoRow
from extend_pipeline.media.analysis.previews import split
from extend_pipeline.media.store import MediaRef, MediaStore
from extend_pipeline.warehouse.columns import prompt_of

POSTER_CAP: Final = 10_000  # bytes; each event holds its own copy, and a page of the UI shows dozens of them

_PANELS: Final = (("before", "before the seam"), ("after", "after the seam"), ("end", "the end"))
"""The panels of a poster by what they show: the end of their names, and the words where no image is shown."""

Metadata = Mapping[str, dg.MetadataValue[Any]]

_HOPS: Final = dg.TableSchema(
    columns=[
        dg.TableColumn("hop", "int"),
        dg.TableColumn("before_s", "float", description="length of the film before the hop"),
        dg.TableColumn("after_s", "float", description="length of the film after the hop"),
        dg.TableColumn("units", "string"),
        dg.TableColumn("seam_psnr_db", "float", description="similarity to the parent just before the seam"),
        dg.TableColumn("task_id", "string"),
    ]
)

_REQUESTS: Final = dg.TableSchema(
    columns=[
        dg.TableColumn("hop", "int"),
        dg.TableColumn("end", "string", description="how the attempt ended, or where it is"),
        dg.TableColumn("charge", "string"),
        dg.TableColumn("units", "string", description="charged, or reserved while that is not known"),
        dg.TableColumn("amount", "string"),
        dg.TableColumn("task_id", "string"),
        dg.TableColumn("error", "string", description="the provider's own words"),
    ]
)
MAX_ATTEMPTS: Final = 20  # the newest in the table of a request's page; their number is always exact


def source_metadata(facts: VideoFacts) -> Metadata:
    """Return the metadata of a partition of `source_videos`."""
    row = facts.row
    return {
        **_texts(row, "account", "provider", "model", "mode"),
        "source": _text(row.source_video_id if row.branch_of is None else f"{row.branch_of}, hop {row.branch_hop}"),
        "source_duration_s": _seconds(row.source_duration_ms),
        "extendable_until": _moment(row.extendable_until),
        "target_s": _seconds(row.target_ms),
        "target": _text(
            counted(row.target_steps or 0, "extension") if row.target_ms is None else f"{row.target_ms / 1000:g} s"
        ),
        "state": _text(row.state),
        "reason": _text(row.state_detail or "-"),
        "hops_done": dg.MetadataValue.int(row.hops_done),
        "current_duration_s": _seconds(row.current_duration_ms),
    }


def request_metadata(facts: VideoFacts) -> Metadata:
    """Return the metadata of a partition of `extension_requests`: its newest attempt, how it ended and what was
    charged, and the attempts before it."""
    newest = facts.newest
    end = facts.end_of(newest)
    before = sorted(facts.attempts, key=in_order)[-MAX_ATTEMPTS:]
    return {
        "attempts": dg.MetadataValue.int(len(facts.attempts)),
        "hop": dg.MetadataValue.int(newest.hop),
        "end": _text(end.words),
        "charge": _text(end.charge.value),
        "state": _text(end.state),
        **_texts(newest, "account", "provider", "task_id", "external_task_id"),
        "prompt": _text(prompt_of(newest.params)),
        "parent_duration_s": _seconds(newest.parent_duration_ms),
        "charged" if end.charge.is_known else "reserved": _text(end.units),
        "amount": _text(end.amount),
        "submitted_at": _moment(newest.submitted_at),
        "error": _text(end.error),
        **_plotted(end.shown),
        **({"requests": _requests(facts, before)} if len(before) > 1 else {}),
    }


def _requests(facts: VideoFacts, attempts: Sequence[AttemptRow]) -> dg.TableMetadataValue:
    ends = [(attempt, facts.end_of(attempt)) for attempt in attempts]
    records = [
        dg.TableRecord(
            {
                "hop": attempt.hop,
                "end": end.words,
                "charge": end.charge.value,
                "units": end.units,
                "amount": end.amount,
                "task_id": attempt.task_id,
                "error": end.error,
            }
        )
        for attempt, end in ends
    ]
    return dg.MetadataValue.table(records=records, schema=_REQUESTS)


def completed_metadata(facts: VideoFacts, store: MediaStore) -> Metadata:
    """Return the metadata of a partition of `completed_extensions`: the poster of its longest film, what its last hop
    did and cost, then the file and all hops."""
    first, last = facts.stored[0], facts.stored[-1]
    assert last.path is not None
    assert last.bytes is not None
    before_ms, after_ms = last.parent_duration_ms, last.film_ms
    added_ms = None if before_ms is None or after_ms is None else after_ms - before_ms
    cost = booked(last)
    return {
        **_posters(last, store),
        "duration_before_s": _seconds(before_ms),
        "duration_after_s": _seconds(after_ms),
        "added_s": _seconds(added_ms),
        "units": _text(cost.units),
        "amount": _text(f"{from_micros(cost.amount_micros)} {last.currency} ({last.units_basis})"),
        "spent_in_all": _text(_spent_in_all(facts)),
        **_texts(last, "provider", "account", "task_id"),
        "prompt": _text(prompt_of(last.params)),
        "seam_psnr_db": dg.MetadataValue.null() if (seam := _seam_db(last)) is None else dg.MetadataValue.float(seam),
        "hop": dg.MetadataValue.int(last.hop),
        "state": _text(facts.row.state),
        "source_duration_s": _seconds(first.parent_duration_ms),
        "file": dg.MetadataValue.path(store.location(MediaRef.parse(last.path))),
        "sha256": _text(last.sha256),
        "bytes": dg.MetadataValue.int(last.bytes),
        "picture": _text(f"{last.width} x {last.height}, {last.codec}"),
        **_plotted(cost.shown),
        "hops": dg.MetadataValue.table(records=[_hop(a) for a in facts.stored], schema=_HOPS),
    }


def _posters(attempt: AttemptRow, store: MediaStore) -> Metadata:
    """Return the previews of the poster's three panels, which the UI shows without a click, and the poster, which it
    shows after one. Posters of earlier versions have no previews, and one that can't be read is left out."""
    if attempt.poster_path is None:
        return {}
    try:
        with store.local(MediaRef.parse(attempt.poster_path)) as path:
            if path.stat().st_size > POSTER_CAP:
                return {}
            jpeg, previews = split(path.read_bytes())
    except OSError:  # a file of another user, too: without its poster the film is recorded all the same
        return {}
    small = zip(_PANELS, previews, strict=False)
    return {
        **{f"poster_{name}": _image(words, "webp", preview) for (name, words), preview in small},
        "poster": _image("before and after the seam, and the end", "jpeg", jpeg),
    }


def _image(words: str, kind: str, data: bytes) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{words}](data:image/{kind};base64,{base64.b64encode(data).decode()})")


def _hop(attempt: AttemptRow) -> dg.TableRecord:
    after = attempt.film_ms
    return dg.TableRecord(
        {
            "hop": attempt.hop,
            "before_s": None if attempt.parent_duration_ms is None else attempt.parent_duration_ms / 1000,
            "after_s": None if after is None else after / 1000,
            "units": booked(attempt).units,
            "seam_psnr_db": _seam_db(attempt),
            "task_id": attempt.task_id,
        }
    )


def _seam_db(attempt: AttemptRow) -> float | None:
    return None if attempt.seam_psnr_centi_db is None else attempt.seam_psnr_centi_db / 100


def _plotted(spent: Spent) -> Metadata:
    """Return units and amount as numbers that Dagster plots. What counts is the text beside them, which is exact."""
    return {
        f"{PLOT}units": dg.MetadataValue.float(spent.micros / 1_000_000),
        f"{PLOT}amount": dg.MetadataValue.float(spent.amount_micros / 1_000_000),
    }


def _spent_in_all(facts: VideoFacts) -> str:
    """Return the total spending, failures and write-offs included. Currencies and units are listed side by side, and
    never added up."""
    sums: dict[tuple[str, str], Spent] = {}
    for attempt in facts.attempts:
        if (spent := facts.spent.get(attempt.attempt_id)) is not None:
            known = sums.get((attempt.unit, attempt.currency), Spent(0, 0))
            total = Spent(known.micros + spent.micros, known.amount_micros + spent.amount_micros)
            sums[attempt.unit, attempt.currency] = total
    totals = [
        f"{from_micros(total.micros)} {unit} = {from_micros(total.amount_micros)} {currency}"
        for (unit, currency), total in sums.items()
    ]
    return "; ".join(totals) or "nothing"


def _texts(row: VideoRow | AttemptRow, *names: str) -> Metadata:
    return {name: _text(getattr(row, name)) for name in names}


def _text(value: object) -> dg.TextMetadataValue:
    return dg.MetadataValue.text("-" if value is None else str(value))


def _seconds(ms: int | None) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.null() if ms is None else dg.MetadataValue.float(ms / 1000)


def _moment(ms: int | None) -> dg.MetadataValue[Any]:
    return dg.MetadataValue.null() if ms is None else dg.MetadataValue.timestamp(from_ms(ms).astimezone(UTC))
