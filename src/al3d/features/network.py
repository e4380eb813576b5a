"""What a network of ours, trained before, sees in a scene: features learnt from other labels, or without any."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy import sparse
from torch import Tensor, nn

from al3d.data.batch import Voxeliser, Voxels
from al3d.features.parts import Members, check_span, cut, members, members_of_parts
from al3d.run import RunFolder
from al3d.trust import check_parts, saved_config
from al3d.types import F32, I32, IGNORE, Scene

#: A part has at least so many voxels.
LEAST = 16
#: The part of our networks that knows the classes; what is left describes.
HEAD = "classifier."
COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Recipe:
    """How a network is built and what it is fed: `net` as plain values, and the fields of a `Voxeliser`."""

    net: str
    size: float
    inputs: tuple[str, ...]
    reduce: str
    centered: bool


@dataclass(frozen=True)
class Network:
    """Mean penultimate features of a trained network: `parts` rows per scene f32[K,D], or one per unit f32[U,D].

    `run` is a run's folder, whose configuration says what the network is and what it is fed, and whose round `round` brings the weights. It
    may instead be a file with a state dict (also a checkpoint's, also without a classifier) of the network `net`, which is then fed `inputs` in voxels
    of `voxel` metres (`reduce` and `centered` as `dataset.reduce` and `dataset.center`). A run of another data set will do when the attributes are
    the same: `attributes` names the scenes' columns in their order; None: those among the inputs. A part's row is the mean over its voxels, a
    unit's over its points, as a method's own embedding is. A scene of more than `tile_voxels` voxels is described in tiles that see `tile_halo`
    voxels beyond their edges, so that memory stays bounded (None: never). `device` "auto" is a GPU where there is one.
    `option` is what errors call these options.
    Raises: ValueError for options that cannot be; `check` and `identity` also FileNotFoundError for a missing run, round or file.
    Source: takes the place of DepthContrast, SegContrast and ALSO in SeedAL's comparison, with networks that al3d trained.
    """

    VERSION: ClassVar[int] = 1
    name: str
    run: str
    round: int = 0
    parts: int = 32
    attributes: tuple[str, ...] | None = None
    net: Callable[..., nn.Module] | None = None
    inputs: tuple[str, ...] | None = None
    voxel: float | None = None
    reduce: str = "mean"
    centered: bool = True
    tile_voxels: int | None = 400_000
    tile_halo: int = 32
    device: str = field(default="auto", compare=False)
    center: bool = field(default=False, compare=False)
    option: str = field(default="features", compare=False)

    def __post_init__(self) -> None:
        for key in ("inputs", "attributes"):
            value = getattr(self, key)
            object.__setattr__(self, key, None if value is None else tuple(value))
        if self.parts < 1 or self.tile_halo < 0 or (self.tile_voxels is not None and self.tile_voxels < 1):
            raise ValueError(
                f"{self.option}.parts={self.parts} and {self.option}.tile_voxels={self.tile_voxels} must be at least 1, "
                f"{self.option}.tile_halo={self.tile_halo} at least 0"
            )
        if self.device not in ("auto", "cpu", "cuda"):
            raise ValueError(f"{self.option}.device={self.device!r} is not one of auto, cpu, cuda")

    @property
    def identity(self) -> object:
        """The content of the weights, the network and its inputs, and how means are taken; not where the files lie."""
        return ["Network", self.VERSION, self.fingerprint, self.recipe, self.columns, self.parts, self.tile_voxels, self.tile_halo]

    @property
    def parallel(self) -> bool:
        """It is bound to a device."""
        return False

    @property
    def of(self) -> None:
        """It reads the scene itself."""
        return None

    def check(self, scene: Scene) -> None:
        """Refuse weights that do not fit, and a scene with other attributes than the network was trained on."""
        _ = self._loaded
        if scene.feat.shape[1] != len(self.columns):
            known = f"{len(self.columns)} ({', '.join(self.columns)})" if self.columns else "none"
            raise ValueError(
                f"scene {scene.id!r} has {scene.feat.shape[1]} attributes, the network of {self.run} was trained with {known}: take a run on such data, or "
                f"name the scenes' columns in their order with {self.option}.attributes=[...]"
            )
        check_span(scene, self.recipe.size)

    def __call__(self, scene: Scene, inner: F32 | None = None) -> F32:
        voxels, feature = self.described(scene)
        return _means(feature, members_of_parts(cut(voxels.coord[:, :2], self.parts, LEAST)))

    def of_units(self, scene: Scene, unit: I32) -> F32:
        """The mean over each unit's points."""
        voxels, feature = self.described(scene)
        return _means(feature, members(unit, voxels.inverse, len(feature)))

    @cached_property
    def weights(self) -> Path:
        """The file of the weights. Raises: FileNotFoundError saying what is missing."""
        path = Path(self.run)
        if path.is_file():
            return path
        if not (path / "config.yaml").is_file():
            raise FileNotFoundError(f"{self.option}.run={self.run}: neither a run's folder (with config.yaml) nor a file of weights")
        file = RunFolder(path).weights(self.round)
        if not file.is_file():
            done = sorted(int(found.parent.name.split("-")[1]) for found in path.glob("round-*/last.ckpt"))
            there = f"it has round {', '.join(map(str, done))}" if done else "it has none yet: let it train first"
            raise FileNotFoundError(f"{self.option}.round={self.round}: {path} has no weights of this round ({file.name}); {there}")
        return file

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits over the content of the weights' file."""
        with self.weights.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    @cached_property
    def recipe(self) -> Recipe:
        """The network and its inputs, from the run's own configuration or from the options."""
        if self.weights == Path(self.run):
            if self.net is None or self.inputs is None or self.voxel is None:
                raise ValueError(
                    f"{self.option}.run={self.run} is a file of weights: say which network it is for with net=, dataset.inputs= and dataset.scale.voxel="
                )
            return Recipe(_plain(self.net), self.voxel, self.inputs, self.reduce, self.centered)
        saved = self._saved
        dataset = saved["dataset"]
        return Recipe(_text(saved["net"]), dataset["scale"]["voxel"], tuple(dataset["inputs"]), dataset["reduce"], dataset["center"])

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the scenes' attribute columns."""
        if self.attributes is not None:
            return self.attributes
        found = tuple(name for name in self.recipe.inputs if name not in ("x", "y", "z"))
        if [name for name in found if name in COLOURS] not in ([], list(COLOURS)):
            raise ValueError(
                f"the network of {self.run} was fed {', '.join(self.recipe.inputs)}, which does not say in which order the scenes have their attributes: "
                f"name all of their columns, such as {self.option}.attributes=[red,green,blue]"
            )
        return found

    @cached_property
    def _saved(self) -> Mapping[str, Any]:
        """The run's configuration, read without following any path of it."""
        saved = cast(dict[str, Any], OmegaConf.to_container(saved_config(Path(self.run)), resolve=True))
        check_parts({"net": saved["net"]}, Path(self.run))
        return saved

    @cached_property
    def _loaded(self) -> nn.Module:
        """The network with its weights, ready to describe. Raises: ValueError naming what does not fit."""
        inputs = len(self.recipe.inputs)
        make = self.net if self.weights == Path(self.run) else instantiate(dict(self._saved["net"]))
        if make is None:
            raise ValueError(f"{self.option}.run={self.run} is a file of weights: say which network it is for with net=")
        net: nn.Module = make(inputs, 1)
        state = {key: value for key, value in _state(self.weights).items() if not key.startswith(HEAD)}
        wanted = {key: value for key, value in net.state_dict().items() if not key.startswith(HEAD)}
        missing = sorted(set(wanted) ^ set(state))
        wrong = [
            f"{key} has {list(state[key].shape)} instead of {list(wanted[key].shape)}"
            for key in wanted
            if key in state and state[key].shape != wanted[key].shape
        ]
        if missing or wrong:
            first = wrong[0] if wrong else f"{missing[0]} is in one of them alone"
            raise ValueError(
                f"{self.weights} does not fit the network {self.recipe.net} with {inputs} inputs ({', '.join(self.recipe.inputs)}): {first}; "
                "choose the net and the inputs that it was trained with"
            )
        net.load_state_dict(state, strict=False)
        return net.requires_grad_(False).eval().to(self._device)

    @property
    def _device(self) -> torch.device:
        return torch.device("cuda" if self.device == "auto" and torch.cuda.is_available() else self.device.replace("auto", "cpu"))

    def described(self, scene: Scene) -> tuple[Voxels, F32]:
        """The scene's voxels, in the network's own size, and the feature of each: f32[V,D]."""
        recipe = self.recipe
        voxeliser = Voxeliser(recipe.size, recipe.inputs, self.columns, classes=1, reduce=recipe.reduce, center=recipe.centered)
        voxels = voxeliser(scene.xyz, scene.feat, np.full(len(scene), IGNORE, np.uint8))
        place = voxels.coord[:, :2]
        tiles = 1 if self.tile_voxels is None else -(-len(place) // self.tile_voxels)
        part = cut(place, tiles)
        rows: list[tuple[Any, F32]] = []
        for number in range(int(part.max()) + 1):
            core = np.flatnonzero(part == number)
            low, high = place[core].min(axis=0) - self.tile_halo, place[core].max(axis=0) + self.tile_halo
            seen = np.flatnonzero(((place >= low) & (place <= high)).all(axis=1)) if tiles > 1 else core
            rows.append((core, self._feature(voxels, seen)[np.searchsorted(seen, core)]))
        feature = np.empty((len(place), rows[0][1].shape[1]), np.float32)
        for core, values in rows:
            feature[core] = values
        return voxels, feature

    def _feature(self, voxels: Voxels, rows: Any) -> F32:
        coord = torch.from_numpy(np.pad(voxels.coord[rows], ((0, 0), (1, 0))))
        feat = torch.from_numpy(np.ascontiguousarray(voxels.feat[rows]))
        with torch.inference_mode():
            output = self._loaded(coord.to(self._device), feat.to(self._device))
        return np.asarray(output.feature.float().cpu().numpy())


def _means(feature: F32, within: Members) -> F32:
    """The mean row of each group's voxels, weighed by the points they share: f32[G,D]."""
    pairs = sparse.csr_matrix((within.points.astype(np.float64), (within.group, within.voxel)), shape=(within.groups, len(feature)))
    total = np.maximum(np.bincount(within.group, within.points, within.groups), 1)
    return np.asarray(pairs @ feature / total[:, None], dtype=np.float32)


def _state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, without what a `Segmenter` puts before the network's names and beside it."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is not a file of weights that can be read without running code: {error}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    inside = {key.removeprefix("net."): value for key, value in state.items() if str(key).startswith("net.")}
    tensors = {str(key): value for key, value in (inside or state).items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no state dict")
    return tensors


def _plain(make: Any) -> str:
    """A partial call as text, the same wherever it runs."""
    inner = getattr(make, "func", make)
    return _text({"_partial_": True, "_target_": f"{inner.__module__}.{inner.__qualname__}", **getattr(make, "keywords", {})})


def _text(node: Mapping[str, Any]) -> str:
    return json.dumps(node, sort_keys=True)
