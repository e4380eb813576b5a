"""Triangle meshes of surfaces, as a hand-held depth camera would fuse them: only what was seen, one layer, a little rounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from al3d.types import F32, F64, I32, I64, Bool
from al3d.world.shapes import Cloud, Piece, Surface

#: Vertices nearer to each other than this share of the spacing become one.
WELD = 0.45
#: A thing this close in front of a wall or the floor (metres) hides it: a depth camera sees one layer.
THIN = 0.06
#: A room's builder puts ceiling, floor and four walls first.
SHELL_PIECES = 6
#: Standard deviation of the fused surface's error in metres, before it is smoothed along the mesh.
NOISE = 0.006


@dataclass(frozen=True, eq=False)
class Mesh:
    """A cloud of vertices and the triangles between them, `faces` i32[m,3], counter-clockwise seen from outside."""

    cloud: Cloud
    faces: I32

    def only(self, keep: Bool) -> Mesh:
        """The triangles whose three corners are kept, and the vertices that are in one."""
        faces = self.faces[keep[self.faces].all(axis=1)]
        used = np.zeros(len(self.cloud), dtype=bool)
        used[faces] = True
        place = np.cumsum(used, dtype=np.int32) - 1
        return Mesh(self.cloud.take(np.flatnonzero(used)), place[faces].astype(np.int32))


def mesh_pieces(pieces: Sequence[Piece], spacing: float, rng: np.random.Generator) -> Mesh:
    """Every surface of every piece as a grid of vertices `spacing` metres apart, holes cut."""
    parts, faces, owner, count = [], [], [], 0
    for index, piece in enumerate(pieces):
        for surface in piece.surfaces:
            unit, own = surface_grid(surface, spacing)
            xyz, normal, place = surface._at(unit)
            own = own[surface._outside_holes(place)[own].all(axis=1)]
            if surface.echo < 1:
                own = own[_patches(place, surface.echo, rng)[own].all(axis=1)]
            # vertices in holes would hide what lies behind them
            used, corners = np.unique(own, return_inverse=True)
            xyz, normal, place = xyz[used], normal[used], place[used]
            parts.append((xyz, normal, surface.texture(place, rng)))
            faces.append(_facing(xyz, normal, corners.reshape(-1, 3)) + count)
            owner.append(np.full(len(xyz), index, np.int32))
            count += len(xyz)
    columns = [np.concatenate([part[column] for part in parts]).astype(np.float32) for column in range(3)]
    return Mesh(Cloud(columns[0], columns[1], columns[2], np.concatenate(owner)), np.concatenate(faces).astype(np.int32))


def surface_grid(surface: Surface, spacing: float) -> tuple[F64, I64]:
    """Parameters f64[n,2] in the unit square, about `spacing` metres apart on the surface, and the triangles i64[m,3] between them."""
    a, b, c = np.linalg.norm(surface.frame, axis=1)
    around = max(6, int(np.ceil(2 * np.pi * max(a, b) / spacing)))
    if surface.form == "plane":
        rows, columns = _steps(a, spacing), _steps(b, spacing)
        s, t = np.linspace(0, 1, rows + 1), np.linspace(0, 1, columns + 1)
        return _pairs(s, t), _quads(rows + 1, columns + 1, wrap=False)
    turn = np.arange(around) / around
    if surface.form == "disc":
        radius = np.linspace(0, 1, _steps(max(a, b), spacing) + 1)
        return _pairs(turn, radius**2), _quads(around, len(radius), wrap=True)
    if surface.form == "tube":
        height = np.linspace(0, 1, _steps(c, spacing) + 1)
        return _pairs(turn, height), _quads(around, len(height), wrap=True)
    polar = np.linspace(0, np.pi, max(4, int(np.ceil(np.pi * max(a, b, c) / spacing))) + 1)
    return _pairs(turn, (1 - np.cos(polar)) / 2), _quads(around, len(polar), wrap=True)


def fused(mesh: Mesh, seen: Bool, spacing: float, rng: np.random.Generator) -> Mesh:
    """The mesh of the seen vertices: near ones welded, what thin things hide left out, positions and colours a little smoothed."""
    kept = welded(mesh.only(seen & ~covered(mesh.cloud, seen, spacing)), WELD * spacing)
    cloud = kept.cloud
    links = _links(kept.faces, len(cloud))
    shake = np.clip(rng.standard_normal(cloud.xyz.shape), -3, 3) * NOISE
    for _ in range(3):
        shake = 0.5 * shake + 0.5 * (links @ shake)
    color = 0.6 * cloud.color + 0.4 * (links @ cloud.color)
    xyz = 0.75 * cloud.xyz + 0.25 * (links @ cloud.xyz) + shake
    return Mesh(Cloud(xyz.astype(np.float32), cloud.normal, np.clip(color, 0, 1).astype(np.float32), cloud.piece), kept.faces)


def welded(mesh: Mesh, distance: float) -> Mesh:
    """One vertex (the first) for all that share a cell of `distance` metres; triangles that collapse go."""
    cells = np.floor(mesh.cloud.xyz / distance + 0.5).astype(np.int64)
    cells -= cells.min(axis=0)
    span = cells.max(axis=0) + 1
    key = (cells[:, 0] * span[1] + cells[:, 1]) * span[2] + cells[:, 2]
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    faces = first[inverse][mesh.faces]
    faces = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])]
    _, once = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    return Mesh(mesh.cloud, faces[np.sort(once)].astype(np.int32)).only(np.ones(len(mesh.cloud), dtype=bool))


def covered(cloud: Cloud, seen: Bool, spacing: float) -> Bool:
    """Which vertices bool[n] of the shell (the first `SHELL_PIECES` pieces) have a seen thing right in front of them."""
    shell = np.flatnonzero(seen & (cloud.piece < SHELL_PIECES))
    things = np.flatnonzero(seen & (cloud.piece >= SHELL_PIECES))
    result = np.zeros(len(cloud), dtype=bool)
    if len(shell) == 0 or len(things) == 0:
        return result
    lateral = 0.8 * spacing
    distance, near = cKDTree(cloud.xyz[things]).query(cloud.xyz[shell], k=4, distance_upper_bound=float(np.hypot(THIN, lateral)))
    found = np.isfinite(distance)
    offset = cloud.xyz[things][np.where(found, near, 0)] - cloud.xyz[shell][:, None]
    ahead = np.einsum("ijk,ik->ij", offset, cloud.normal[shell])
    beside = np.sqrt(np.maximum(np.einsum("ijk,ijk->ij", offset, offset) - ahead**2, 0))
    result[shell] = (found & (ahead > 0.003) & (ahead < THIN) & (beside < lateral)).any(axis=1)
    return result


def subdivided(mesh: Mesh, parts: int = 2) -> tuple[F32, F32]:
    """Points on the triangles with their colours, f32[k,3] each: `parts` (parts + 1) / 2 per triangle, for pictures."""
    weights = [((i + 1 / 3) / parts, (j + 1 / 3) / parts) for i in range(parts) for j in range(parts - i)]
    barycentric = np.array([(1 - s - t, s, t) for s, t in weights], dtype=np.float32)
    corners, colors = mesh.cloud.xyz[mesh.faces], mesh.cloud.color[mesh.faces]
    xyz = np.einsum("pc,mcd->mpd", barycentric, corners).reshape(-1, 3)
    color = np.einsum("pc,mcd->mpd", barycentric, colors).reshape(-1, 3)
    return xyz.astype(np.float32), color.astype(np.float32)


def segments(mesh: Mesh, size: float = 0.35) -> I64:
    """An over-segmentation i64[n]: vertices of one piece, facing alike, in one cell of `size` metres; the id is its first vertex."""
    cloud = mesh.cloud
    axis = np.argmax(np.abs(cloud.normal), axis=1)
    sign = np.take_along_axis(cloud.normal, axis[:, None], axis=1)[:, 0] > 0
    cells = np.floor((cloud.xyz - cloud.xyz.min(axis=0)) / size).astype(np.int64)
    span = cells.max(axis=0) + 1
    key = ((cloud.piece * 6 + 2 * axis + sign) * span[0] + cells[:, 0]) * span[1] + cells[:, 1]
    _, first, inverse = np.unique(key * span[2] + cells[:, 2], return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def _patches(place: F64, share: float, rng: np.random.Generator) -> Bool:
    """About `share` of the vertices, in patches of some decimetres: what a depth camera gets back from glass."""
    waves = rng.uniform(3, 12, (4, 2)) * rng.choice([-1, 1], (4, 2))
    height = np.cos(place @ waves.T + rng.uniform(0, 2 * np.pi, 4)).sum(axis=1)
    return np.asarray(height >= np.quantile(height, 1 - share))


def _steps(length: float, spacing: float) -> int:
    return max(1, int(np.ceil(length / spacing)))


def _pairs(first: F64, second: F64) -> F64:
    return np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)


def _quads(rows: int, columns: int, wrap: bool) -> I64:
    """Two triangles per cell of a grid of vertices; with `wrap`, the last row borders on the first."""
    index = np.arange(rows * columns, dtype=np.int64).reshape(rows, columns)
    index = np.concatenate([index, index[:1]]) if wrap else index
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    return np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])


def _facing(xyz: F64, normal: F64, faces: I64) -> I64:
    """The triangles, turned so that they face along their vertices' normals."""
    corner = xyz[faces]
    across = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    wrong = np.einsum("ij,ij->i", across, normal[faces].sum(axis=1)) < 0
    return np.where(wrong[:, None], faces[:, ::-1], faces)


def _links(faces: I32, count: int) -> csr_array:
    """A matrix [n,n] that takes the mean over each vertex's neighbours."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    links = csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    links.data[:] = 1
    degree = np.maximum(np.diff(links.indptr), 1)
    links.data /= np.repeat(degree, np.diff(links.indptr))
    return links
