"""al3d: active learning for 3D semantic segmentation."""

__version__ = "0.1.0"
