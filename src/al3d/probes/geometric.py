"""Every point by the shape of the surface around it at several scales, its height and its attributes: what a small classifier can work with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from al3d.geometry.shape import FEWEST, LEVEL, SHAPE, Cells, Surroundings, cells, from_corner, place, surroundings, window
from al3d.types import F32, Scene

_OPTION = "net.descriptions.geometric"
#: The attribute that the sources without any have: it says nothing.
CONSTANT = "one"
COLOURS = ("red", "green", "blue")
#: Widths of the columns in which the lowest and the highest surface are looked for, in lengths.
WINDOWS = (8, 32)
#: The place in `scales` of the scale at which colours are averaged.
MEAN = 1
#: No value is larger, so that all of them fit into float16 (65,504).
LARGEST = 60_000.0


@dataclass(frozen=True)
class Geometric:
    """Shape, height and attributes around every point, f32[N,D]; D = 54 for three colours, 41 for an intensity, 36 without, at four scales.

    `length` is the finest scale in metres (the data set's voxel), `attributes` names the columns of `Scene.feat` (a constant "one" is left out).
    For each of `scales` the cloud is thinned to the means of cells of that many lengths, counted from its low corner. What a point gets is said by the
    `neighbours` + 1 means nearest to its cell of the next finer scale (at the first scale: to its own cell), since a cell of a coarse scale is larger
    than many an object: linearity, planarity, scattering, verticality and steepness (`al3d.geometry.shape.surroundings`), how far the
    point is above the lowest, below the highest and above the mean of them in metres, and how much larger their mean attributes are than its own. Once per
    cloud come the height above the lowest cell within 3 x 3 columns of 8 and of 32 lengths and how far the highest is above the lowest there, in metres;
    the attributes; and for colours their mean at the second scale. Columns do not say where the scene stands, which way it is turned about z (but for the
    cells), or which ring a point is of.
    Values do not depend on the number of threads, nor but for rounding on the order of the points or on where the scene stands.
    Raises: ValueError naming the option for lengths and scales that are not positive, scales not in ascending order, or fewer than 2 neighbours.
    Source: Demantke et al. 2011, Weinmann et al. 2015; heights after Niemeyer et al. 2014; scales after Hackel et al. 2016.
    """

    VERSION: ClassVar[int] = 1
    points: ClassVar[bool] = False
    anywhere: ClassVar[bool] = True
    length: float
    attributes: tuple[str, ...]
    scales: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    neighbours: int = 16

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(self.attributes))
        object.__setattr__(self, "scales", tuple(float(scale) for scale in self.scales))
        if not (np.isfinite(self.length) and self.length > 0):
            raise ValueError(f"{_OPTION}.length={self.length}: give a positive length in metres, such as the data set's voxel")
        if not self.scales or not all(np.isfinite(scale) and scale > 0 for scale in self.scales):
            raise ValueError(f"{_OPTION}.scales={list(self.scales)}: give one or more positive multiples of the length, such as [1, 2, 4, 8]")
        if any(f"{low:g}" == f"{high:g}" or low > high for low, high in zip(self.scales, self.scales[1:], strict=False)):
            raise ValueError(f"{_OPTION}.scales={list(self.scales)}: give each scale once, in ascending order")
        if self.neighbours < FEWEST - 1:
            raise ValueError(f"{_OPTION}.neighbours={self.neighbours}: a shape needs at least {FEWEST - 1} neighbours, and 16 work well")
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"{_OPTION}.attributes={list(self.attributes)}: name each column of the scenes once")

    @property
    def name(self) -> str:
        """What files and tables call it."""
        return "geometric"

    @property
    def identity(self) -> object:
        """Every option that changes a number."""
        return ["Geometric", self.VERSION, self.length, list(self.attributes), list(self.scales), self.neighbours]

    @property
    def parallel(self) -> bool:
        """It needs no device."""
        return True

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the D columns in order; a number at the end is the scale, or the width of a window, in lengths."""
        told = self._told
        block = (*SHAPE, "above_lowest", "below_highest", "above_mean", *(f"contrast_{name}" for name in told))
        local = (f"{name}_{scale:g}" for scale in self.scales for name in block)
        wide = (f"{name}_{width}" for width in WINDOWS for name in ("above_ground", "relief"))
        return (*local, *wide, *told, *(f"mean_{name}" for name in told if self._coloured))

    def check(self, scene: Scene) -> None:
        """Refuse a scene with other columns. Raises: ValueError."""
        if scene.feat.shape[1] != len(self.attributes):
            raise ValueError(
                f"scene {scene.id!r} has {scene.feat.shape[1]} attributes, {_OPTION}.attributes names {len(self.attributes)} "
                f"({', '.join(self.attributes) or 'none'}): name the columns of its data set"
            )

    def __call__(self, scene: Scene) -> F32:
        self.check(scene)
        xyz = from_corner(scene.xyz)
        feat = np.ascontiguousarray(scene.feat[:, [self.attributes.index(name) for name in self._told]])
        rows = np.empty((len(scene), len(self.columns)), np.float32)
        width = len(SHAPE) + len(LEVEL) + feat.shape[1]
        first = width * len(self.scales)
        height = np.ascontiguousarray(xyz[:, 2])
        for number, (thin, asked, around) in enumerate(self._scales(xyz, feat)):
            place(rows, number * width, height, feat, asked.inverse, around)
            if number == 0:
                self._wide(rows, first, height, thin)
            if number == min(MEAN, len(self.scales) - 1) and self._coloured:
                rows[:, -feat.shape[1] :] = around.mean[asked.inverse]
        after = first + 2 * len(WINDOWS)
        rows[:, after : after + feat.shape[1]] = feat
        # heights and contrasts are differences of these; as a rule nothing is to be cut, and looking at every value costs a tenth of a second
        reach = max(float(height.max()), float(np.abs(feat).max(initial=0)), float((feat.max(axis=0) - feat.min(axis=0)).max(initial=0)))
        return rows if reach <= LARGEST else np.clip(rows, -LARGEST, LARGEST, out=rows)

    @property
    def _told(self) -> tuple[str, ...]:
        return tuple(name for name in self.attributes if name != CONSTANT)

    @property
    def _coloured(self) -> bool:
        return set(COLOURS) <= set(self._told)

    def _scales(self, xyz: F32, feat: F32) -> Iterator[tuple[Cells, Cells, Surroundings]]:
        """One scale after the other, no more than two in memory: its cells, those of the next finer scale, and what the former are around the latter."""
        finer = None
        for scale in self.scales:
            thin = cells(xyz, feat, scale * self.length)
            asked = thin if finer is None else finer
            yield thin, asked, surroundings(thin, self.neighbours, asked.xyz)
            finer = thin

    def _wide(self, rows: F32, first: int, height: F32, thin: Cells) -> None:
        """Write what is said once per cloud, from the cells of the finest scale."""
        level = np.ascontiguousarray(thin.xyz[:, 2])
        for number, width in enumerate(WINDOWS):
            lowest, highest = window(thin.xyz, level, width * self.length)
            rows[:, first + 2 * number] = height - lowest[thin.inverse]
            rows[:, first + 2 * number + 1] = (highest - lowest)[thin.inverse]
