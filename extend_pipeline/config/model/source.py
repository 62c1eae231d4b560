"""What the source of a video has, whichever provider extends it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from extend_pipeline.config.fields.text import ConfigModel, YesNo


class Source(ConfigModel):
    """A video that a provider can extend; each provider has a subclass, with its own fields and limits."""

    if TYPE_CHECKING:  # as a field or as a property: pydantic would take what stands here for fields of all

        @property
        def source_id(self) -> str:
            """Return what a submit names: an id, or a URL. It is part of the names of steps."""

        @property
        def duration_ms(self) -> int | None:
            """Return its length in ms; None where it was not given, and is measured if needed."""

        @property
        def created_at(self) -> datetime | None:
            """Return when it was made (UTC); None where it was not given, or where the provider has no limit of age."""

        @property
        def mode(self) -> str | None:
            """Return the mode that it was made in; None where the provider has none."""


class SourceById(Source):
    """A source that is named by an id. `exact` stands above the ids, since a validator sees only what is above."""

    exact: YesNo = Field(
        default=False,
        exclude=True,  # it says nothing of the video, so that it changes no definition
        description="true if the id really ends in the zeros that look as if a spreadsheet had rounded it.",
        examples=[True],
    )
