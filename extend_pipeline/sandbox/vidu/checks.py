"""What ModelVerse checks in a submit's fields before it looks at the source (docs/upstream/vidu.md, "Submit")."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from extend_pipeline.sandbox.surface.fields import read_object
from extend_pipeline.sandbox.vidu.errors import Refusal, param_error
from extend_pipeline.sandbox.vidu.last_frame import refuse_last_frame
from extend_pipeline.sandbox.vidu.prices import MODELS, RESOLUTIONS

_PARTS: dict[str, tuple[str, ...]] = {
    "input": ("video_url", "last_frame_url", "prompt"),
    "parameters": ("vidu_type", "duration", "resolution"),
}
# Vidu's own rule (docs/upstream/vidu.md, "Submit").
_PROMPT_LIMIT = 2000


@dataclass(frozen=True)
class Submit:
    """A submit whose fields are all as documented; `seconds` is what shall be added."""

    model: str
    video_url: str
    last_frame_url: str | None
    prompt: str | None
    seconds: int
    resolution: str

    def params(self) -> list[object]:
        """Return all that decides what the film looks like, but for its source."""
        frame = None if self.last_frame_url is None else hashlib.sha256(self.last_frame_url.encode()).hexdigest()
        return [self.model, self.prompt, self.seconds, self.resolution, frame]


def read_submit(content_type: str, body: bytes) -> Submit | Refusal:
    """Read a submit. `video_url` "must be provided", though the table calls it optional."""
    given = read_object(body, content_type)
    if isinstance(given, str):
        return param_error(given)
    unknown = sorted(given.keys() - {"model", *_PARTS})
    for part, names in _PARTS.items():
        fields = given.get(part)
        if not isinstance(fields, dict):
            return param_error(f"{part} must be an object")
        unknown += sorted(f"{part}.{name}" for name in fields.keys() - set(names))
    if unknown:
        return param_error(f"unknown parameter: {', '.join(unknown)}")
    if given.get("model") not in MODELS:
        return param_error(f"model must be one of {', '.join(MODELS)}")
    return _read_input(given) or _read_parameters(given) or _submit(given)


def _read_input(given: dict[str, dict[str, object]]) -> Refusal | None:
    fields = given["input"]
    if not isinstance(fields.get("video_url"), str) or not fields["video_url"]:
        return param_error("input.video_url is required")
    prompt = fields.get("prompt", "")
    if not isinstance(prompt, str) or len(prompt) > _PROMPT_LIMIT:
        return param_error(f"input.prompt must be a string of at most {_PROMPT_LIMIT} characters")
    return refuse_last_frame(fields["last_frame_url"]) if "last_frame_url" in fields else None


def _read_parameters(given: dict[str, dict[str, object]]) -> Refusal | None:
    fields = given["parameters"]
    if fields.get("vidu_type") != "extend":
        return param_error("parameters.vidu_type must be extend")
    seconds = fields.get("duration", 5)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= 7:
        return param_error("parameters.duration must be an integer in [1, 7]")
    if fields.get("resolution", "720p") not in RESOLUTIONS:
        return param_error(f"parameters.resolution must be one of {', '.join(RESOLUTIONS)}")
    return None


def _submit(given: dict[str, Any]) -> Submit:
    fields, parameters = given["input"], given["parameters"]
    return Submit(
        model=given["model"],
        video_url=fields["video_url"],
        last_frame_url=fields.get("last_frame_url"),
        prompt=fields.get("prompt"),
        seconds=parameters.get("duration", 5),
        resolution=parameters.get("resolution", "720p"),
    )
