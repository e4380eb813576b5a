"""One side of one block of the street, and how objects are stood on it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from al3d.world.street.parts import Shape, pose_at
from al3d.world.street.road import BLOCK, STEP, Road, standing


@dataclass(frozen=True, eq=False)
class Placed:
    """A standing object: its bodies in world coordinates, and a name that is the same in every frame."""

    name: tuple[int, int]
    shape: Shape


@dataclass
class Site:
    """One side of one block while it is furnished: `s` runs from the block's beginning, `d` outwards from the middle of the road."""

    road: Road
    block: int
    side: int
    rng: np.random.Generator
    placed: list[Placed] = field(default_factory=list)

    def edge(self, along: float, which: int) -> float:
        """The distance of an edge of the cross-section (0 road, 1 parking, 2 sidewalk, 3 the rest) from the middle of the road."""
        row = int((self.block * BLOCK + along - self.road.start) / STEP + 0.5)
        return float(self.road.edges[int(np.clip(row, 0, len(self.road.x) - 1)), self.side, which])

    def put(self, shape: Shape, along: float, out: float, turn: float = 0.0) -> None:
        """Stand `shape` there; `turn` 0 looks along the road on the left and against it on the right, so that +y is always outwards."""
        sign = 1.0 if self.side == 0 else -1.0
        x, y, z, heading = standing(self.road, self.block * BLOCK + along, sign * out)
        face = heading + (0.0 if self.side == 0 else np.pi) + np.radians(turn)
        self.placed.append(Placed((self.block * 2 + self.side, len(self.placed)), shape.at(pose_at(x, y, z, face))))
