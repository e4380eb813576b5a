"""Running a network over a scene in tiles, so that memory does not grow with the scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from al3d.types import I32, I64


@dataclass(frozen=True)
class Tiles:
    """At most `voxels` voxels a tile (None: whole scenes), each tile seen together with the voxels up to `halo` voxels around it in x and y.

    The halo gives voxels at a tile's edge their neighbourhood. It is shorter than what the networks can see (about 180 voxels for
    MinkUNet with 16-fold coarsening), so a tiled output differs a little from a whole one; a longer halo differs less and costs more.
    Raises: ValueError unless `voxels` is None or at least 1, and `halo` at least 0.
    """

    voxels: int | None = None
    halo: int = 32

    def __post_init__(self) -> None:
        for name, value, least in (("tile_voxels", self.voxels, 1), ("tile_halo", self.halo, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least) or (value is None and least == 0):
                raise ValueError(f"learner.{name}={value!r}: give a whole number from {least} on{', or null for whole scenes' if least else ''}")

    def __call__(self, run: Callable[[Tensor, Tensor], tuple[Tensor, ...]], coord: Tensor, feat: Tensor) -> tuple[Tensor, ...]:
        """`run(coord, feat)` for the whole scene, tile by tile where it is larger than one tile: every voxel's row comes from one tile.

        Shapes: coord i32[V,4] (scene in batch, x, y, z) and feat [V,c]; `run` returns tensors of V rows, and so does this. Tiles keep the
        scene's coordinates, so that coarse voxels lie where they lie in the whole scene.
        """
        if self.voxels is None or self.is_one(coord):
            return run(coord, feat)
        place = coord[:, 1:3].cpu().numpy()
        whole: tuple[Tensor, ...] = ()
        for core in cores(place, self.voxels):
            seen = surrounded(place, core, self.halo)
            rows = torch.from_numpy(seen).to(coord.device)
            parts = run(coord[rows], feat[rows])
            whole = whole or tuple(part.new_empty((len(coord), *part.shape[1:])) for part in parts)
            inside = np.searchsorted(seen, core)
            for target, part in zip(whole, parts, strict=True):
                target[torch.from_numpy(core).to(target.device)] = part[torch.from_numpy(inside).to(part.device)]
        return whole

    def is_one(self, coord: Tensor) -> bool:
        """Whether the whole scene is one tile."""
        return self.voxels is None or len(coord) <= self.voxels


def cores(place: I32, most: int) -> Iterator[I64]:
    """The rows of each tile, ascending: halves of halves along the longer side, until none has more than `most` rows.

    `place` i32[V,2] is x and y. Every row is in one tile; a column of voxels above one place is never cut.
    """
    waiting = [np.arange(len(place))]
    while waiting:
        rows = waiting.pop()
        halves = _halved(place, rows) if len(rows) > most else None
        if halves is None:
            yield rows
        else:
            waiting += [halves[1], halves[0]]


def surrounded(place: I32, core: I64, halo: int) -> I64:
    """The rows, ascending, of everything within `halo` of the core's box in x and y; the core's own are among them."""
    low, high = place[core].min(axis=0) - halo, place[core].max(axis=0) + halo
    return np.flatnonzero(((place >= low) & (place <= high)).all(axis=1))


def _halved(place: I32, rows: I64) -> tuple[I64, I64] | None:
    """Two parts of about equal size, or None when all rows are above one place."""
    own = place[rows]
    extent = own.max(axis=0) - own.min(axis=0)
    axis = int(extent.argmax())
    if extent[axis] == 0:
        return None
    line = own[:, axis]
    middle = max(int(np.partition(line, len(line) // 2)[len(line) // 2]), int(line.min()) + 1)
    return rows[line < middle], rows[line >= middle]
