"""Matrix products of the engines, and the type of their sums: oneDNN where it is faster than the BLAS behind `torch.mm`, `torch.mm` elsewhere.

The BLAS in PyTorch's wheels uses 256-bit vectors on processors that are not Intel's, oneDNN uses the widest there are: 2.2 times
faster on a Zen 5 core. PyTorch gives float32 convolutions to oneDNN, so large products are written as 1x1 convolutions. oneDNN
plans each shape anew (0.2 ms), so rows come in multiples of `STEP`.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Products of a multiple of this many rows may go to oneDNN.
STEP = 512

#: PyTorch gives a convolution to oneDNN on a single thread only if its batch has at least this many items.
_ITEMS = 16
#: Narrower products gain nothing.
_CHANNELS = 48
_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


def sum_type(rows: Tensor) -> torch.dtype:
    """The type that products of `rows` are added up in: float32 at least."""
    return torch.promote_types(rows.dtype, torch.float32)


def is_padded(rows: Tensor, inputs: int, outputs: int) -> bool:
    """Whether products of `rows` with a matrix [inputs,outputs] run faster when the number of rows is a multiple of `STEP`."""
    return _ONEDNN and rows.device.type == "cpu" and rows.dtype == torch.float32 and min(inputs, outputs) >= _CHANNELS


def padded(rows: int) -> int:
    """The number of rows to pad a product of `rows` rows to: itself if few, else the next multiple of `STEP`."""
    return rows if rows < STEP // 2 else -(-rows // STEP) * STEP


def multiply(rows: Tensor, matrix: Tensor) -> Tensor:
    """`rows` [N,I] times `matrix` [I,O]: [N,O]."""
    if not _is_for_onednn(rows, matrix.shape[0], matrix.shape[1]):
        return rows.mm(matrix)
    result = torch.conv2d(_images(rows), matrix.t()[:, :, None, None])
    return result.permute(0, 2, 3, 1).view(len(rows), matrix.shape[1])


def multiply_transposed(left: Tensor, right: Tensor) -> Tensor:
    """`left` [N,I] transposed times `right` [N,O]: [I,O], the sum over rows of their outer products."""
    inputs, outputs = left.shape[1], right.shape[1]
    if not _is_for_onednn(left, inputs, outputs):
        return left.t().mm(right)
    weight = left.new_empty(inputs, outputs, 1, 1)
    mask = [False, True, False]
    gradient: Tensor = torch.ops.aten.convolution_backward(_images(left), _images(right), weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1, mask)[1]
    return gradient.flatten(1)


def _is_for_onednn(rows: Tensor, inputs: int, outputs: int) -> bool:
    return len(rows) % STEP == 0 and len(rows) > 0 and is_padded(rows, inputs, outputs)


def _images(rows: Tensor) -> Tensor:
    """Rows [N,I] as 16 images of N/16 pixels, channels last, without a copy."""
    return rows.view(_ITEMS, -1, 1, rows.shape[1]).permute(0, 3, 1, 2)
