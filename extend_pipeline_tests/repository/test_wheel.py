"""The wheel holds the package and the files that commands write into homes, and nothing else."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from extend_pipeline_tests.support.processes.wheel import ROOT, build_wheel, tracked

_SHIPPED = (
    "data/demo/accounts.yaml",
    "data/demo/catalog.yaml",
    "data/demo/sandbox.json",
    "deploy/dagster.yaml",
    "workspace.yaml",
)


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    for path in tracked():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, root / path)
    for made in ("data/demo/state/media/film.mp4", "data/catalog.yaml", "extend_pipeline/__pycache__/cli.pyc"):
        (root / made).parent.mkdir(parents=True, exist_ok=True)
        (root / made).write_bytes(b"of this machine")

    with zipfile.ZipFile(build_wheel(tmp_path, root=root)) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}

    expected = {path: path for path in tracked("extend_pipeline")}
    expected |= {f"extend_pipeline/shipped/{path}": path for path in _SHIPPED}
    assert sorted(held) == sorted(expected)
    assert [name for name, path in expected.items() if held[name] != (ROOT / path).read_bytes()] == []
