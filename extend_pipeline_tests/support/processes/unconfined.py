"""Films read by the process that fetched them, because a confined process takes longer to start than the rest of a
short test; confinement is tested by media/test_prober.py and media/test_hostile_files.py, and under kills by the walks
around a fetch (engine/chains/test_crash_walk.py, engine/chains/test_crash_walk_without_key.py)."""

from __future__ import annotations

from extend_pipeline.media.analysis import examine
from extend_pipeline.media.check import probe
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.join import film


def read_films_here() -> None:
    """Make this process, a child of the tests, read films in itself from now on."""
    isolated_probe.check_file = probe.check_file  # type: ignore[assignment]
    isolated_probe.examine = examine.examine  # type: ignore[assignment]
    isolated_probe.join = film.join  # type: ignore[assignment]
