from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Photograph

from al3d.features.photographs import Photographs
from al3d.types import Image, Scene


def scene(*paths: Path | None) -> Scene:
    return Scene("here", np.zeros((1, 3), np.float32), np.zeros((1, 0), np.float32), images=tuple(Image(path) for path in paths))


def saved(path: Path, picture: np.ndarray) -> Path:
    Photograph.fromarray(picture).save(path)
    return path


def test_pictures_come_in_the_order_of_the_scene_as_red_green_blue(tmp_path):
    colour = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    grey = np.array([[7, 200]], np.uint8)
    paths = saved(tmp_path / "b.png", colour), saved(tmp_path / "a.png", grey)
    Photographs().check(scene(*paths))
    first, second = Photographs()(scene(*paths))
    np.testing.assert_array_equal(first, colour)
    np.testing.assert_array_equal(second, np.repeat(grey[:, :, None], 3, axis=2))
    assert first.dtype == second.dtype == np.uint8


@pytest.mark.parametrize("call", [Photographs().check, Photographs()])
def test_says_what_is_missing(tmp_path, call):
    there = saved(tmp_path / "there.png", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match="'here' has no photographs: set views@features.views=auto"):
        call(scene())
    with pytest.raises(FileNotFoundError, match=r"gone\.png is not there"):
        call(scene(there, tmp_path / "gone.png"))
    with pytest.raises(FileNotFoundError, match="2 of 3 photographs were not there when it was prepared"):
        call(scene(None, there, None))


def test_names_a_file_that_is_no_picture(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"'here': the photograph .*broken\.jpg cannot be read"):
        Photographs()(scene(path))
    whole = saved(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8))
    path.write_bytes(whole.read_bytes()[:900])
    with pytest.raises(ValueError, match="cannot be read"):
        Photographs()(scene(path))
