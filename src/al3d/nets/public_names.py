"""How published MinkUNets and SPVCNNs call their parameters and order the offsets of a kernel, against ours."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

#: The coordinate that runs fastest over the offsets of a 3x3x3 and of a 2x2x2 kernel. Ours is "z".
ORDERS = {"torchsparse": ("x", "z"), "minkowski": ("x", "x"), "z": ("z", "z")}
#: The place of a unit's layers among its convolution, normalisation and ReLU.
_PLACE = {"conv": 0, "norm": 1}


def public_name(name: str) -> str:
    """The published name of our parameter or buffer `name`. Raises: ValueError for a name that neither network has.

    Source: the names that the code of SPVNAS, ReDAL, HPAL, LiDAL and SegContrast has in common, read off their module lists.
    """
    match name.split("."):
        case ["stem", unit, layer, what]:
            return f"stem.{3 * int(unit) + _PLACE[layer]}.{what}"
        case ["down", stage, "0", layer, what]:
            return f"stage{int(stage) + 1}.0.net.{_PLACE[layer]}.{what}"
        case ["down", stage, block, *rest]:
            return f"stage{int(stage) + 1}.{block}.{_residual(name, rest)}"
        case ["up", stage, "up", layer, what]:
            return f"up{int(stage) + 1}.0.net.{_PLACE[layer]}.{what}"
        case ["up", stage, "blocks", block, *rest]:
            return f"up{int(stage) + 1}.1.{block}.{_residual(name, rest)}"
        case ["point", layer, place, what]:
            return f"point_transforms.{layer}.{place}.{what}"
        case ["classifier", what]:
            return f"classifier.0.{what}"
    raise ValueError(f"{name!r} is no parameter of MinkUNet or SPVCNN, so it has no published name")


def _residual(name: str, rest: Sequence[str]) -> str:
    match rest:
        case ["first", layer, what]:
            return f"net.{_PLACE[layer]}.{what}"
        case ["second", what]:
            return f"net.3.{what}"
        case ["norm", what]:
            return f"net.4.{what}"
        case ["shortcut", what]:
            return f"downsample.0.{what}"
        case ["shortcut_norm", what]:
            return f"downsample.1.{what}"
    raise ValueError(f"{name!r} is no parameter of a residual block, so it has no published name")


def in_our_order(kernel: Tensor, order: str) -> Tensor:
    """A kernel [K,I,O] of order `order` with its offsets in ours (z fastest), and [1,I,O] as [I,O]; any other tensor as it is.

    A transposed convolution has the order of the convolution that it undoes, in all three libraries: they swap the two sides of one map.
    """
    if kernel.ndim != 3:
        return kernel
    offsets, inputs, outputs = kernel.shape
    if offsets == 1:
        return kernel[0]
    size = {27: 3, 8: 2}.get(offsets)
    if size is None or ORDERS[order][3 - size] == "z":
        return kernel
    return kernel.reshape(size, size, size, inputs, outputs).permute(2, 1, 0, 3, 4).reshape(offsets, inputs, outputs)
