"""The page about the warehouse is what the definitions say."""

from __future__ import annotations

from pathlib import Path

from extend_pipeline.warehouse.generate_docs import render

PAGE = Path(__file__).parents[2] / "docs" / "warehouse.md"


def test_the_committed_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run: python -m extend_pipeline.warehouse.generate_docs"


def test_every_public_table_and_view_is_on_the_page() -> None:
    page = render()
    for name in ("source_videos", "extension_requests", "completed_extensions", "lineage", "charges", "_meta"):
        assert f"## `{name}`" in page
    for name in ("cost_by_day", "cost_by_video", "duration_metrics", "in_doubt"):
        assert f"| `{name}` |" in page
