"""Write a report: read the published file, draw the charts, fill the page, and replace the file by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from extend_pipeline.base.private import replace_private
from extend_pipeline.base.version import program_version
from extend_pipeline.report.charts import Chart, draw_charts
from extend_pipeline.report.contents import NEEDS_PERSON, Contents, read_contents
from extend_pipeline.report.numbers import money, number

_FOLDER: Final = Path(__file__).parent
_PAGE: Final = "page.html.jinja"


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written: its file, its size in bytes, and what it shows."""

    path: Path
    size: int
    contents: Contents


def code_version() -> str:
    """Return a digest of what makes a report of the same file look otherwise: the modules and the page of this room."""
    files = sorted(path for path in _FOLDER.iterdir() if path.suffix in (".py", ".jinja"))
    return sha256(b"\n".join(file.read_bytes() for file in files)).hexdigest()[:16]


def write_report(warehouse: Path, out: Path, *, timezone: str) -> Written:
    """Write a report about a published file, with days and times of a time zone (an IANA name). A reader of `out` finds
    the old report or the new one.

    Raises NotInstalledError, NotPublishedError, WarehouseError, OSError.
    """
    contents = read_contents(warehouse, timezone=timezone)
    page = render(contents, draw_charts(contents), written_at=datetime.now(UTC))
    replace_private(out, page)
    return Written(out, len(page.encode()), contents)


def render(contents: Contents, charts: Sequence[Chart], *, written_at: datetime) -> str:
    """Return the page as HTML. What users and providers wrote is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": money, "number": number}
    return environment.get_template(_PAGE).render(
        about=contents,
        totals=contents.totals,
        charts=charts,
        needs_person=NEEDS_PERSON,
        written_at=written_at.astimezone(ZoneInfo(contents.timezone)),
        version=program_version(),
    )
