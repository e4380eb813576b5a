"""Vertical columns over the cells of a level grid as units."""

from __future__ import annotations

from dataclasses import dataclass

from al3d.types import Partition, Scene
from al3d.units.cells import cell_ids, check_size


@dataclass(frozen=True)
class Column:
    """Everything above and below a cell floor(x / size), floor(y / size) of the level grid; ids in the order of (x, y). `size` in metres.

    Raises: ValueError when size is not positive, or so small that the scene's cells cannot be counted.
    """

    size: float = 1.0

    def __post_init__(self) -> None:
        check_size(self.size, "column")

    @property
    def name(self) -> str:
        return f"column-{self.size:g}"

    @property
    def stored(self) -> bool:
        return True

    @property
    def kinds(self) -> tuple[str, ...]:
        return ("column",)

    def __call__(self, scene: Scene) -> Partition:
        return Partition(cell_ids(scene.xyz[:, :2], self.size, scene.id, "column"))
