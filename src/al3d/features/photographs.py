"""The photographs that came with a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Photograph

from al3d.types import U8, Scene


@dataclass(frozen=True)
class Photographs:
    """The scene's own pictures in the order of its `images`."""

    def check(self, scene: Scene) -> None:
        """Refuse a scene without photographs, or with one that was not kept or whose file is gone."""
        _paths(scene)

    def __call__(self, scene: Scene) -> Sequence[U8]:
        pictures = []
        for path in _paths(scene):
            try:
                with Photograph.open(path) as file:
                    pictures.append(np.asarray(file.convert("RGB"), dtype=np.uint8))
            except (OSError, SyntaxError) as error:
                raise ValueError(
                    f"scene {scene.id!r}: the photograph {path} cannot be read ({error}): replace it, or set views@features.views=drawn"
                ) from error
        return pictures


def _paths(scene: Scene) -> list[Path]:
    """The files of the photographs. Raises: ValueError where there are none, FileNotFoundError where one is missing."""
    if not scene.images:
        raise ValueError(f"scene {scene.id!r} has no photographs: set views@features.views=auto to draw views from its points, or features=geometry")
    paths = [image.path for image in scene.images if image.path is not None]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"scene {scene.id!r}: the photograph {missing[0]} is not there: put it back, or set views@features.views=drawn")
    if len(paths) < len(scene.images):
        lost = len(scene.images) - len(paths)
        raise FileNotFoundError(
            f"scene {scene.id!r}: {lost} of {len(scene.images)} photographs were not there when it was prepared: set views@features.views=drawn"
        )
    return paths
