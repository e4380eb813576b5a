"""Geometry of point clouds in numba: neighbours, local features, supervoxels and pictures."""
