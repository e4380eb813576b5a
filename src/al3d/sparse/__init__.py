"""Sparse tensors and convolution over voxels, in PyTorch alone unless told otherwise: keys, maps, engines, layers."""

from al3d.sparse.engine import convolve, linear
from al3d.sparse.keys import LIMIT, coarse_rows
from al3d.sparse.maps import KernelMap
from al3d.sparse.modules import Conv3d, Linear, TransposedConv3d
from al3d.sparse.norm import BatchNorm, normed_convolve, normed_relu
from al3d.sparse.points import PointMap
from al3d.sparse.tensor import Geometry, SparseTensor

__all__ = [
    "LIMIT",
    "BatchNorm",
    "Conv3d",
    "Geometry",
    "KernelMap",
    "Linear",
    "PointMap",
    "SparseTensor",
    "TransposedConv3d",
    "coarse_rows",
    "convolve",
    "linear",
    "normed_convolve",
    "normed_relu",
]
