"""A wheel of this project, and an environment that it is installed in, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[3]


def tracked(*folders: str) -> list[str]:
    """Return the paths of all files of the checkout, or of those folders, that Git doesn't ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [path for path in lines if (ROOT / path).is_file()]


def build_wheel(folder: Path, *, root: Path = ROOT) -> Path:
    """Build the wheel of a checkout into a folder and return its path."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel into a new environment and return its folder of programs.

    The packages that it needs are those of the running environment, so that no index is asked. They are found by a
    path alone: the file by which the checkout is installed there has no effect.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    (site,) = (folder / "lib").glob("python*/site-packages")
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "packages.pth").write_text("".join(f"{path}\n" for path in sorted(packages)), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*command, str(wheel)], check=True, env=without_checkout())
    return python.parent


def without_checkout() -> dict[str, str]:
    """Return the environment of this process without the variables that lead to the checkout or to another home."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "EXTEND_", "DAGSTER_"))}
