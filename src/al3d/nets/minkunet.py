"""MinkUNet: a residual U-Net of sparse convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from al3d.nets.blocks import Output, Stem, check_input, decoder, encoder, widths
from al3d.sparse import Geometry, Linear, SparseTensor
from al3d.sparse.backend import backend_of


class MinkUNet(nn.Module):
    """A U-Net with four strides of 2 and 49 sparse convolutions (21.7 million parameters at width 1).

    `width` scales all channels. `dropout` 0..1 acts on the features that enter the first and the third decoder stage, as in
    SPVCNN; at 0 there is no dropout module. `backend` names the library that convolves,
    `engine` which of al3d's own engines does.
    Source: Choy et al. 2019, "4D Spatio-Temporal ConvNets", in the variant of Tang et al. 2020 (two convolutions in the
    stem, halved widths); dropout is ours.
    """

    def __init__(self, in_channels: int, classes: int, width: float = 1.0, dropout: float = 0.0, backend: str = "al3d", engine: str = "auto") -> None:
        super().__init__()
        cs = widths(width)
        self.in_channels = in_channels
        self.backend = backend_of(backend, engine)
        self.feature_width = cs[8]
        self.stem = Stem(in_channels, cs[0])
        self.down = encoder(cs)
        self.up = decoder(cs)
        self.classifier = Linear(cs[8], classes, engine=engine)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else None

    def geometry(self, coord: Tensor) -> Geometry:
        """The voxels `coord` i32[V,4] with every map that a forward pass asks for, to be given to it in place of `coord`."""
        return Geometry(coord, self.backend).prepare(len(self.down))

    def forward(self, coord: Tensor | Geometry, feat: Tensor) -> Output:
        """Maps voxels `coord` i32[V,4] = (batch, x, y, z), or their geometry, with `feat` f32[V,in_channels] to an `Output`.

        Raises: ValueError for wrong shapes, coordinates beyond the keys' range and voxels given twice.
        """
        check_input(coord, feat, self.in_channels)
        geometry = coord if isinstance(coord, Geometry) else self.geometry(coord)
        x = self.stem(SparseTensor.build(geometry, feat))
        skips = []
        for stage in self.down:
            skips.append(x)
            x = stage(x)
        bottleneck = x.feat
        for i, stage in enumerate(self.up):
            x = stage(self._drop(x) if i % 2 == 0 else x, skips.pop())
        feature = x.in_input_order()
        return Output(self.classifier(feature), feature, bottleneck)

    def _drop(self, x: SparseTensor) -> SparseTensor:
        return x if self.dropout is None else x.with_feat(self.dropout(x.feat))
