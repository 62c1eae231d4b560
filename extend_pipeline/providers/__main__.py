"""Write the JSON schemas of the files that users write: `python -m extend_pipeline.providers docs/schema`."""

import sys
from pathlib import Path

from extend_pipeline.config.json_schema import schema_files
from extend_pipeline.providers.registry import PROVIDERS

for name, text in schema_files(PROVIDERS).items():
    Path(sys.argv[1], name).write_text(text, encoding="utf-8")
