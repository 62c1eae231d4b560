"""Write docs/warehouse.md from the definitions: `python -m extend_pipeline.warehouse.generate_docs`."""

import sys
from pathlib import Path

from extend_pipeline.warehouse.definitions import views
from extend_pipeline.warehouse.schema import META_COLUMNS, STORAGE_VERSION, TABLES

HEAD = f"""# The warehouse

`{{home}}/state/warehouse.duckdb` is a file for reading: any DuckDB from 1.2 on opens it (storage {STORAGE_VERSION}),
at any time, while the pipeline runs, **read-only**:

```python
import duckdb

with duckdb.connect("data/state/warehouse.duckdb", read_only=True) as warehouse:
    warehouse.sql("FROM cost_by_video").show()
```

A program that opens it for writing (`duckdb FILE` without `-readonly`; many database tools by default) keeps all others
from reading it, until it closes the file or the next publish replaces it. Work goes on meanwhile; the checks that read
the file warn, and name that program.

A new file replaces the old one as a whole. **An open connection shows the file that was published when it was opened**,
and every further connection of the same process to the same path shows that file too. Connect anew for each query, as
above. In a session that stays open (a notebook, a dashboard), attach the file anew:

```sql
ATTACH 'data/state/warehouse.duckdb' AS warehouse (READ_ONLY);
FROM warehouse.cost_by_video;
DETACH warehouse;  -- attach again to see a newer file
```

`_meta.published_at` is when the file was published, and `_meta.ledger_seq` the last event of the ledger in it; sums
equal the ledger's at that number. Ids are text, units and amounts exact decimals, durations seconds. Times are stored
in UTC; a client shows them in a zone of its own choice, and `extend-pipeline sql` in the home's. Amounts of different
currencies are never added. Tables whose names begin with `_` are the program's own, except `_meta`: read the views.

This page is generated from the definitions: `python -m extend_pipeline.warehouse.generate_docs`.
"""


def render() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for table in TABLES:
        rows = [(column.name, column.type, column.description) for column in table.columns]
        parts.append(f"## `{table.name}`\n{table.description}\n\n{_table(rows)}")
    parts.append(f"## `_meta`\nOne row: how fresh the file is.\n\n{_table(list(META_COLUMNS))}")
    rows_of_views = "\n".join(f"| `{name}` | {_cell(description)} |" for name, (description, _) in views().items())
    parts.append(f"## Views\n\n| view | contents |\n|---|---|\n{rows_of_views}\n")
    return "\n".join(parts)


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | {type_} | {_cell(description)} |" for name, type_, description in rows]
    return "| column | type | |\n|---|---|---|\n" + "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    page = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/warehouse.md")
    page.write_text(render(), encoding="utf-8")
