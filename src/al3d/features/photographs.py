"""The photographs that came with a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as Photograph

from al3d.types import U8, Scene


@dataclass(frozen=True)
class Photographs:
    """The scene's own pictures in the order of its `images`."""

    def check(self, scene: Scene) -> None:
        """Refuse a scene without photographs, or with one whose file is gone."""
        paths = [image.path for image in scene.images]
        if not paths:
            raise ValueError(f"scene {scene.id!r} has no photographs: set views@features.views=auto to draw views from its points, or features=geometry")
        missing = [path for path in paths if path is None or not path.is_file()]
        if missing:
            raise FileNotFoundError(f"scene {scene.id!r}: the photograph {missing[0]} is not there: put it back, or set views@features.views=drawn")

    def __call__(self, scene: Scene) -> Sequence[U8]:
        pictures = []
        for image in scene.images:
            if image.path is None:
                raise FileNotFoundError(f"scene {scene.id!r}: a photograph was not kept: set views@features.views=drawn")
            with Photograph.open(image.path) as file:
                pictures.append(np.asarray(file.convert("RGB"), dtype=np.uint8))
        return pictures
