"""`on_change`: what an edit does that would pay again for a step that was bought already."""

from typing import Annotated, Literal

from pydantic import Field

from extend_pipeline.config.fields.text import ConfigModel, one_of

OnChange = Annotated[Literal["ask", "keep", "pay"], one_of("ask", "keep", "pay")]


class CatalogueDefaults(ConfigModel):
    """The `defaults:` of catalog.yaml, for all videos whose account does not set them."""

    on_change: OnChange | None = Field(
        default=None,
        description="What an edit does that would pay again for what was paid for: ask (the default), keep what is "
        "there, or pay.",
        examples=["ask"],
    )
