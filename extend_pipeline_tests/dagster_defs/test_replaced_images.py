"""A code server notices an image that was replaced, though no file of its home was edited."""

from __future__ import annotations

import hashlib
from pathlib import Path

from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline_tests.config.test_frames import home as write_framed
from extend_pipeline_tests.config.test_frames import png


def test_the_next_tick_plans_with_a_replaced_image(tmp_path: Path) -> None:
    write_framed(tmp_path, "end.png")
    (tmp_path / "end.png").write_bytes(png(16, 9))
    resource = HomeResource(home=str(tmp_path))
    before = resource.configuration()
    assert resource.configuration() is before
    (tmp_path / "end.png").write_bytes(png(9, 16))
    after = resource.configuration()
    sha256 = after.catalogue.videos["v0"].extend.hop_params(1)["last_frame_sha256"]
    assert sha256 == hashlib.sha256(png(9, 16)).hexdigest()
    assert resource.configuration() is after
