"""A process that runs notices an image that was replaced, though no file of its home was edited."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline_tests.config.test_frames import home as write_framed
from extend_pipeline_tests.config.test_frames import png

NEW = png(9, 16)


def _write_over(image: Path) -> None:
    image.write_bytes(NEW)


def _link_to_another(image: Path) -> None:
    image.with_name("new.png").write_bytes(NEW)
    image.unlink()
    image.symlink_to("new.png")


def planned(pipeline: Pipeline) -> object:
    """Return the hash of the image that the next hop would be bought with."""
    return pipeline.configuration.catalogue.videos["v0"].extend.hop_params(1)["last_frame_sha256"]


@pytest.mark.parametrize("is_remembered", [True, False])
@pytest.mark.parametrize("replace", [_write_over, _link_to_another])
def test_a_replaced_image_is_planned_with(replace: Callable[[Path], None], is_remembered: bool, tmp_path: Path) -> None:
    home, image = tmp_path / "home", tmp_path / "home" / "end.png"
    write_framed(home, image.name)
    image.write_bytes(png(16, 9))
    for _ in range(2 if is_remembered else 0):  # the first makes the state folder, in which the second remembers
        with open_home(Settings(home=home)):
            pass
    with open_home(Settings(home=home)) as pipeline:
        pipeline.refresh()  # the first home to be opened has saved its accounts, which is a change
        before = pipeline.configuration
        pipeline.refresh()
        assert pipeline.configuration is before
        assert planned(pipeline) == hashlib.sha256(png(16, 9)).hexdigest()
        replace(image)
        pipeline.refresh()
        assert planned(pipeline) == hashlib.sha256(NEW).hexdigest()
        after = pipeline.configuration
        pipeline.refresh()
        assert pipeline.configuration is after
