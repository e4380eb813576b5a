"""Colour, edges and texture of a picture as numbers, without weights: what works everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from al3d.types import F32, U8


@dataclass(frozen=True)
class Handcrafted:
    """Statistics of a picture's colours and edges."""

    bins: int = 4
    grid: int = 8

    @property
    def fingerprint(self) -> str:
        """It has no weights."""
        return ""

    @property
    def parallel(self) -> bool:
        """It needs no device."""
        return True

    def check(self) -> None:
        """It can always run."""

    def __call__(self, pictures: Sequence[U8]) -> F32:
        return np.stack([self._of(picture) for picture in pictures])

    def patches(self, picture: U8) -> F32:
        """The cells of a grid, row by row."""
        rows = [cell for band in np.array_split(picture, self.grid, axis=0) for cell in np.array_split(band, self.grid, axis=1)]
        return np.stack([self._of(cell) for cell in rows])

    def _of(self, picture: U8) -> F32:
        codes = (picture.astype(np.int64) * self.bins) // 256
        cell = (codes[..., 0] * self.bins + codes[..., 1]) * self.bins + codes[..., 2]
        return np.sqrt(np.bincount(cell.reshape(-1), minlength=self.bins**3) / cell.size).astype(np.float32)
