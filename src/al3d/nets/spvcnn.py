"""SPVCNN: MinkUNet with a branch of point features at full resolution."""

from __future__ import annotations

from torch import Tensor, nn

from al3d.nets.blocks import Output, Stem, check_input, decoder, encoder, widths
from al3d.sparse import BatchNorm, Geometry, Linear, SparseTensor
from al3d.sparse.backend import backend_of

#: Where point features meet the voxels.
POINT_STRIDES = (4, 16)


class SPVCNN(nn.Module):
    """MinkUNet plus three point-wise layers that carry features past the coarse strides (21.8 million parameters at width 1).

    The points are the input voxels, so taking means to stride 1 and interpolating from it are the identity and are left out.
    `width` scales all channels; `dropout` 0..1 acts where point features return to voxels. `backend` names the library that convolves,
    `engine` which of al3d's own engines does.
    Source: Tang et al. 2020, "Searching Efficient 3D Architectures with Sparse Point-Voxel Convolution".
    """

    def __init__(self, in_channels: int, classes: int, width: float = 1.0, dropout: float = 0.3, backend: str = "al3d", engine: str = "auto") -> None:
        super().__init__()
        cs = widths(width)
        self.in_channels = in_channels
        self.backend = backend_of(backend, engine)
        self.feature_width = cs[8]
        self.stem = Stem(in_channels, cs[0])
        self.down = encoder(cs)
        self.up = decoder(cs)
        self.point = nn.ModuleList(_point_layer(cs[i], cs[o], engine) for i, o in ((0, 4), (4, 6), (6, 8)))
        self.classifier = Linear(cs[8], classes, engine=engine)
        self.dropout = nn.Dropout(dropout, inplace=True)

    def geometry(self, coord: Tensor) -> Geometry:
        """The voxels `coord` i32[V,4] with every map that a forward pass asks for, to be given to it in place of `coord`."""
        return Geometry(coord, self.backend).prepare(len(self.down), points=POINT_STRIDES)

    def forward(self, coord: Tensor | Geometry, feat: Tensor) -> Output:
        """Maps voxels `coord` i32[V,4] = (batch, x, y, z), or their geometry, with `feat` f32[V,in_channels] to an `Output`.

        Raises: ValueError for wrong shapes, coordinates beyond the keys' range and voxels given twice.
        """
        check_input(coord, feat, self.in_channels)
        geometry = coord if isinstance(coord, Geometry) else self.geometry(coord)
        x0: SparseTensor = self.stem(SparseTensor.build(geometry, feat))
        x1 = self.down[0](x0)
        x2 = self.down[1](x1)
        x3 = self.down[2](x2)
        x4 = self.down[3](x3)
        z1 = _interpolate(x4) + self.point[0](x0.feat)
        y2 = self.up[1](self.up[0](self._to_voxels(z1, x4), x3), x2)
        z2 = _interpolate(y2) + self.point[1](z1)
        y4 = self.up[3](self.up[2](self._to_voxels(z2, y2), x1), x0)
        z3 = y4.with_feat(y4.feat + self.point[2](z2)).in_input_order()
        return Output(self.classifier(z3), z3, x4.feat)

    def _to_voxels(self, points: Tensor, like: SparseTensor) -> SparseTensor:
        """The mean of the point features in each voxel of `like`, with dropout."""
        return like.with_feat(self.dropout(like.geometry.mean(like.stride)(points)))


def _interpolate(x: SparseTensor) -> Tensor:
    return x.geometry.trilinear(x.stride)(x.feat)


def _point_layer(inputs: int, outputs: int, engine: str) -> nn.Sequential:
    return nn.Sequential(Linear(inputs, outputs, engine=engine), BatchNorm(outputs), nn.ReLU(inplace=True))
