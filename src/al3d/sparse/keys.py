"""One int64 key per voxel: sorting keys sorts voxels, and a neighbour is a constant away.

The key is `batch << 48 | (x + 2^15) << 32 | (y + 2^15) << 16 | (z + 2^15)`, so z runs fastest and negative coordinates need no
special case. Coordinates stay within `LIMIT`, which leaves room for the neighbours of the outermost voxel.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: The largest absolute coordinate of a voxel.
LIMIT = 32_000
#: The largest batch index: the key's sign bit stays free.
BATCH_LIMIT = (1 << 15) - 1

_BIAS = 1 << 15
#: How far from a voxel at `LIMIT` a neighbour may lie and still have a key.
MARGIN = _BIAS - 1 - LIMIT
_FIELD = (1 << 16) - 1
_SPACE = (1 << 48) - 1
_HALVED_FIELDS = (_FIELD >> 1) << 32 | (_FIELD >> 1) << 16 | (_FIELD >> 1)


def offset_key(offset: tuple[int, int, int]) -> int:
    """What to add to a voxel's key to get the key of the voxel at `offset` (x, y, z) from it."""
    x, y, z = offset
    return (x << 32) + (y << 16) + z


_KEY_OF_ORIGIN = offset_key((_BIAS, _BIAS, _BIAS))
_KEY_OF_HALF_BIAS = offset_key((_BIAS // 2, _BIAS // 2, _BIAS // 2))


def encode(coord: Tensor) -> Tensor:
    """The keys i64[V] of voxels `coord` i[V,4] = (batch, x, y, z).

    Raises: ValueError for another shape, for floating-point coordinates and for a coordinate or a batch index out of range.
    """
    if coord.ndim != 2 or coord.shape[1] != 4 or coord.is_floating_point():
        raise ValueError(f"voxel coordinates must be integers [V,4] = (batch, x, y, z), got {coord.dtype} {list(coord.shape)}")
    if len(coord):
        _check_range(coord)
    batch, x, y, z = coord.long().unbind(1)
    return (batch << 48) + (x << 32) + (y << 16) + z + _KEY_OF_ORIGIN


def _check_range(coord: Tensor) -> None:
    ends = torch.stack([coord.amin(0), coord.amax(0)]).tolist()  # once, since a GPU is waited for
    (first, *lows), (last, *highs) = ends
    low, high = min(lows), max(highs)
    if low < -LIMIT or high > LIMIT:
        raise ValueError(f"voxel coordinates span {low}..{high}, but keys hold -{LIMIT}..{LIMIT}: centre the scene, cut it, or use larger voxels")
    if first < 0 or last > BATCH_LIMIT:
        raise ValueError(f"batch indices span {first}..{last}, but keys hold 0..{BATCH_LIMIT}")


def decode(keys: Tensor) -> Tensor:
    """The coordinates i32[V,4] = (batch, x, y, z) of `keys` i64[V]."""
    axes = [((keys >> shift) & _FIELD) - _BIAS for shift in (32, 16, 0)]
    return torch.stack([keys >> 48, *axes], dim=1).int()


def halve(keys: Tensor) -> Tensor:
    """The keys of the voxels twice as large that contain the voxels `keys` (floor division, also below zero)."""
    return (keys & ~_SPACE) + ((keys >> 1) & _HALVED_FIELDS) + _KEY_OF_HALF_BIAS


def double(keys: Tensor) -> Tensor:
    """The keys of the lowest of the eight voxels half as large that each of the voxels `keys` contains."""
    return (keys & ~_SPACE) + 2 * (keys & _SPACE) - _KEY_OF_ORIGIN


def octant(keys: Tensor) -> Tensor:
    """Which of its eight places a voxel takes in the voxel twice as large: 0..7, z fastest."""
    return ((keys >> 30) & 4) | ((keys >> 15) & 2) | (keys & 1)


def kernel_offsets(size: int) -> list[tuple[int, int, int]]:
    """The offsets of a cubic kernel, z fastest: {0} for size 1, {0,1} for 2, {-1,0,1} for 3, {-2,...,2} for 5."""
    axis = range(-((size - 1) // 2), size // 2 + 1)
    return [(x, y, z) for x in axis for y in axis for z in axis]


def coarse_rows(coord: Tensor, stride: int) -> Tensor:
    """The row i64[V] of each voxel of `coord` i[V,4] = (batch, x, y, z) among the occupied voxels at `stride`, a power of two, sorted by key."""
    keys = encode(coord)
    for _ in range(stride.bit_length() - 1):
        keys = halve(keys)
    rows: Tensor = torch.unique(keys, return_inverse=True)[1]
    return rows
