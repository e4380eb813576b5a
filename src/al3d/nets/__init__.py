"""Networks: voxels in, class scores and features out."""

from al3d.nets.blocks import Output
from al3d.nets.minkunet import MinkUNet
from al3d.nets.spvcnn import SPVCNN

__all__ = ["SPVCNN", "MinkUNet", "Output"]
