"""`extend-pipeline` for measuring the money path alone: the workers that look at films reply at once, without a process
and without opening a file. `python -m benchmarks.without_films …` takes what `extend-pipeline` takes."""

from __future__ import annotations

import base64
import shutil
from typing import Any

from extend_pipeline.media.isolation.pool import WorkerPool

_VALID = {
    "duration_ms": 9_700,
    "width": 320,
    "height": 180,
    "codec": "h264",
    "frames": 116,
    "fps": 12.0,
    "has_audio": False,
}
_SEAM = {"psnr_db": 41.0, "parent_is_prefix": True, "compared_frames": 8, "joint_db": 41.0}
_JPEG = base64.b64encode(b"\xff\xd8\xff" + bytes(100)).decode()


def _reply(_pool: WorkerPool, task: dict[str, Any], **_: Any) -> Any:
    """Return what a worker would find in an extension of 4.7 s."""
    match task["do"]:
        case "check":
            return {"valid": _VALID}
        case "seam":
            return _SEAM
        case "poster":
            return {"jpeg": _JPEG}
        case "examine":
            film = _film(task["path"], task["film"]) if task["film"] else None
            return {"valid": _VALID, "seam": _SEAM, "jpeg": _JPEG, "kept": False, "film": film}
        case _:
            return {"joined": _film(task["segment"], task["out"])}


def _film(segment: str, out: str) -> Any:
    shutil.copyfile(segment, out)
    return {"probe": _VALID, "lossless": True, "note": ""}


if __name__ == "__main__":
    WorkerPool.run = _reply  # type: ignore[method-assign, assignment]
    from extend_pipeline.cli import main

    main()
