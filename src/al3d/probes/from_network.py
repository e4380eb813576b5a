"""What a network of ours, trained before, sees at every point: its penultimate features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import nn

from al3d.features.network import Network
from al3d.types import F32, Scene

_OPTION = "net.descriptions.network"


@dataclass(frozen=True)
class FromNetwork:
    """The penultimate features of a trained network, f32[N,D]: every point has those of its voxel, in the network's own voxel size.

    `run` is a run's folder, whose configuration says what the network is and what it is fed, and whose round `round` brings the weights. It may instead be
    a file with a state dict (also a checkpoint's, also without a classifier) of the network `net`, which is then fed `inputs` in voxels of `voxel` metres
    (`reduce` and `centered` as `dataset.reduce` and `dataset.center`). A run of another data set will do when the attributes are the same: `attributes`
    names the scenes' columns in their order; None: those among the inputs. A scene of more than `tile_voxels` voxels is described in tiles that see
    `tile_halo` voxels beyond their edges (None: never). `device` "auto" is a GPU where there is one.
    Raises: ValueError for options that cannot be; `check` and `identity` also FileNotFoundError for a missing run, round or file.
    """

    VERSION: ClassVar[int] = 1
    points: ClassVar[bool] = True
    anywhere: ClassVar[bool] = True
    run: str
    round: int = 0
    attributes: tuple[str, ...] | None = None
    net: Callable[..., nn.Module] | None = None
    inputs: tuple[str, ...] | None = None
    voxel: float | None = None
    reduce: str = "mean"
    centered: bool = True
    tile_voxels: int | None = 400_000
    tile_halo: int = 32
    device: str = field(default="auto", compare=False)

    def __post_init__(self) -> None:
        for key in ("inputs", "attributes"):
            value = getattr(self, key)
            object.__setattr__(self, key, None if value is None else tuple(value))
        if Path(self.run).is_file() and (self.net is None or self.inputs is None or self.voxel is None):
            raise ValueError(
                f"{_OPTION}.run={self.run} is a file of weights: say which network it is for, such as "
                f"'{_OPTION}.net={{_target_: al3d.nets.minkunet.MinkUNet, _partial_: true}}', and with which {_OPTION}.inputs=[...] and in voxels of "
                f"which {_OPTION}.voxel= it was trained; a run's folder brings all of that"
            )
        _ = self._network  # what cannot be is refused here, not when the first scene is described

    @property
    def name(self) -> str:
        """What files and tables call it."""
        return "network"

    @property
    def identity(self) -> object:
        """The content of the weights, the network, its inputs and its tiles; not where the files lie."""
        network = self._network
        return ["FromNetwork", self.VERSION, network.fingerprint, network.recipe, network.columns, self.tile_voxels, self.tile_halo]

    @property
    def parallel(self) -> bool:
        """It is bound to a device."""
        return False

    def check(self, scene: Scene) -> None:
        """Refuse weights that do not fit, and a scene with other attributes than the network was trained on."""
        self._network.check(scene)

    def __call__(self, scene: Scene) -> F32:
        voxels, feature = self._network.described(scene)
        return np.asarray(feature[voxels.inverse], np.float32)

    @cached_property
    def _network(self) -> Network:
        return Network(
            name=self.name,
            run=self.run,
            round=self.round,
            attributes=self.attributes,
            net=self.net,
            inputs=self.inputs,
            voxel=self.voxel,
            reduce=self.reduce,
            centered=self.centered,
            tile_voxels=self.tile_voxels,
            tile_halo=self.tile_halo,
            device=self.device,
            option=_OPTION,
        )
