"""The source of a video: what is the same for all providers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import Field

from extend_pipeline.config.fields.text import ConfigModel, YesNo


class Source(ConfigModel):
    """A video that a provider can extend; each provider has a subclass, with its own fields and limits."""

    if TYPE_CHECKING:  # a subclass has them as fields or as properties; for pydantic they would be fields of all

        @property
        def source_id(self) -> str:
            """Return the id or the URL that a submit names. It is part of the names of steps."""

        @property
        def duration_ms(self) -> int | None:
            """Return its length in ms; None if it is not written, and then it is measured if needed."""

        @property
        def created_at(self) -> datetime | None:
            """Return when it was made, in UTC; None if it is not written or if the provider has no limit of age."""

        @property
        def mode(self) -> str | None:
            """Return the mode that it was made in; None if the provider has no modes."""


class UndatedSource(Source):
    """A source of a provider without a limit of age and without modes."""

    @property
    def created_at(self) -> datetime | None:
        """Return None, because the time makes no difference."""
        return None

    @property
    def mode(self) -> str | None:
        """Return None, because there are no modes."""
        return None


class SourceById(Source):
    """A source that is named by an id. `exact` is above the ids, because a validator sees only the fields above."""

    exact: YesNo = Field(
        default=False,
        exclude=True,  # it does not describe the video, so it must not change the definition
        description="true if the id really ends in the zeros that look as if a spreadsheet had rounded it.",
        examples=[True],
    )
