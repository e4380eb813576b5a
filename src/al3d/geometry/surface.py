"""The direction in which the surface around every point faces."""

from __future__ import annotations

import numba
import numpy as np

from al3d.geometry.neighbours import nearest
from al3d.types import F32, I32, Array


def surface_normals(xyz: F32, neighbours: int = 16) -> tuple[F32, F32]:
    """Unit normals f32[N,3] without a sign, and how flat the surface is, f32[N] in 0..1, from the point and its nearest `neighbours`.

    Flatness is (middle - least) / largest eigenvalue of the covariance: near 1 on a plane, 0 along a line, in a ball, or where all points coincide;
    there the normal says nothing (and is +z where the points coincide). The result does not depend on the number of threads.
    Raises: ValueError when neighbours < 1 or xyz is not a finite [N,3] cloud.
    """
    if neighbours < 1:
        raise ValueError(f"neighbours = {neighbours}: ask for at least 1")
    normal, flat = np.empty((len(xyz), 3), np.float32), np.empty(len(xyz), np.float32)
    around = nearest(xyz, neighbours + 1)
    _fit(np.ascontiguousarray(xyz), around, normal, flat)
    return normal, flat


@numba.njit(parallel=True, cache=True)
def _fit(xyz: F32, around: I32, normal: F32, flat: F32) -> None:  # pragma: no cover
    for i in numba.prange(len(xyz)):
        matrix = _covariance(xyz, around, i)
        trace = matrix[0, 0] + matrix[1, 1] + matrix[2, 2]
        normal[i], flat[i] = np.array([0.0, 0.0, 1.0], np.float32), 0.0
        if trace <= 0:
            continue
        matrix /= trace
        least, middle, largest = _eigenvalues(matrix)
        flat[i] = min(max((middle - least) / largest, 0.0), 1.0)
        for axis in range(3):
            matrix[axis, axis] -= least
        best = 0.0
        for n in range(3):  # rows of (matrix - least) are perpendicular to the normal: the longest of their products is the safest
            a, b = matrix[n], matrix[(n + 1) % 3]
            x, y, z = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
            length = np.sqrt(x * x + y * y + z * z)
            if length > best:
                best = length
                normal[i, 0], normal[i, 1], normal[i, 2] = x / length, y / length, z / length


@numba.njit(cache=True)
def _covariance(xyz: F32, around: I32, i: int) -> Array:  # pragma: no cover
    """Sums are taken relative to the point itself, so that equal points give exact zeros."""
    total, square = np.zeros(3), np.zeros((3, 3))
    for j in around[i]:
        x = np.float64(xyz[j, 0]) - np.float64(xyz[i, 0])
        y = np.float64(xyz[j, 1]) - np.float64(xyz[i, 1])
        z = np.float64(xyz[j, 2]) - np.float64(xyz[i, 2])
        total[0], total[1], total[2] = total[0] + x, total[1] + y, total[2] + z
        square[0, 0] += x * x
        square[0, 1] += x * y
        square[0, 2] += x * z
        square[1, 1] += y * y
        square[1, 2] += y * z
        square[2, 2] += z * z
    for a in range(3):
        for b in range(a, 3):
            square[a, b] -= total[a] * total[b] / around.shape[1]
            square[b, a] = square[a, b]
    return square


@numba.njit(cache=True)
def _eigenvalues(m: Array) -> tuple[float, float, float]:  # pragma: no cover
    """Least, middle and largest eigenvalue of a symmetric 3x3 matrix of trace 1, in closed form (Smith 1961)."""
    mean = (m[0, 0] + m[1, 1] + m[2, 2]) / 3
    a, b, c = m[0, 0] - mean, m[1, 1] - mean, m[2, 2] - mean
    xy, xz, yz = m[0, 1], m[0, 2], m[1, 2]
    spread = np.sqrt((a * a + b * b + c * c + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    if spread == 0:
        return mean, mean, mean
    determinant = a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)
    angle = np.arccos(min(max(determinant / (2 * spread**3), -1.0), 1.0)) / 3
    largest, least = mean + 2 * spread * np.cos(angle), mean + 2 * spread * np.cos(angle + 2 * np.pi / 3)
    return least, 3 * mean - largest - least, largest
