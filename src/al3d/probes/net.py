"""A probe: a frozen description of every voxel and a small model on it, where otherwise a network would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from al3d.nets.blocks import Output
from al3d.probes.description import Description
from al3d.probes.heads import Head, MakeTrainer, Model, model_of
from al3d.probes.smooth import Smooth
from al3d.rng import Key
from al3d.types import F32, F64, I64, Scene

#: Probabilities below this are taken as this, so that their logarithm is a number.
SMALLEST = 1e-12
AXES = ("x", "y", "z")


class Probe(nn.Module):
    """Has the output of a network, so that everything after a prediction is as it is for one.

    `descriptions` (by name) are joined, side by side; `head` learns from them; `smooth` averages the probabilities of near voxels. It is fed the rows of
    the descriptions, f32[V,D], as the store keeps them; it brings every column to mean 0 and deviation 1 of the training scenes' voxels, labelled or
    not. That is also its feature: methods that compare units (CoreSet, ReDAL, BADGE, TypiClust) measure distances, which would otherwise be ruled by
    columns in metres, and the same place has the same feature in every round. There is no bottleneck. Its weights are what the head has learned.
    `inputs` is how many columns a network would be fed, which a probe has no use for.
    """

    def __init__(self, inputs: int, classes: int, descriptions: Mapping[str, Description], head: Head, smooth: Smooth | None = None) -> None:
        super().__init__()
        if not descriptions:
            raise ValueError("net.descriptions is empty: choose at least one, such as description@net.descriptions=geometric")
        self.classes, self.descriptions, self.head, self.smooth = classes, tuple(descriptions.values()), head, smooth or Smooth()
        self.mean: F64 = np.zeros(0)
        self.deviation: F64 = np.ones(0)
        self.model: Model | None = None

    def standardise(self, mean: F64, deviation: F64) -> None:
        """Say what the columns are like, f64[D] each."""
        self.mean, self.deviation = mean, deviation

    def standardised(self, rows: F32) -> F32:
        """Rows f32[V,D] with mean 0 and deviation 1 over the training scenes. Raises: ValueError for another number of columns."""
        if rows.shape[1] != len(self.mean):
            raise ValueError(f"this probe was made for {len(self.mean)} columns and got {rows.shape[1]}: prepare the same descriptions as it was trained with")
        return ((rows - self.mean) / self.deviation).astype(np.float32)

    def fit(self, rows: F32, label: I64, key: Key, trainer: MakeTrainer | None = None) -> float:
        """Learn the classes `label` i64[n] of rows f32[n,D]; returns the mean cross-entropy over them, in nats."""
        standard = self.standardised(rows)
        self.model = self.head.fit(standard, label, self.classes, key, trainer)
        own = self.model(standard)[np.arange(len(label)), label]
        return float(-np.log(np.maximum(own, SMALLEST)).mean())

    def forward(self, coord: Tensor, feat: Tensor) -> Output:
        """Logarithms of probabilities, and the standardised rows, of voxels coord i32[V,4] with description feat f32[V,D]."""
        if self.model is None:
            raise ValueError("this probe has learned nothing yet: fit it, or load what it had learned")
        standard = self.standardised(feat.cpu().numpy())
        prob, place = self.model(standard), coord.cpu().numpy()
        for scene in np.unique(place[:, 0]):
            rows = place[:, 0] == scene
            prob[rows] = self.smooth(prob[rows], place[rows, 1:])
        logits = torch.from_numpy(np.log(np.maximum(prob, SMALLEST))).to(feat.device)
        return Output(logits, torch.from_numpy(standard).to(feat.device), logits.new_zeros((0, 0)))

    def get_extra_state(self) -> dict[str, Any]:
        """What was learned, as tensors."""
        columns = {"mean": torch.from_numpy(np.asarray(self.mean)), "deviation": torch.from_numpy(np.asarray(self.deviation))}
        return columns if self.model is None else {**columns, "model": self.model.state()}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take over what was learned."""
        self.mean, self.deviation = state["mean"].numpy(), state["deviation"].numpy()
        self.model = model_of(state["model"]) if "model" in state else None


class Describing(nn.Module):
    """A `net` of description rows for scans that nobody has described: it is fed what a network would be, `inputs` by name, mean places x, y, z among them."""

    def __init__(self, net: nn.Module, descriptions: Sequence[Description], inputs: tuple[str, ...]) -> None:
        super().__init__()
        elsewhere = [part.name for part in descriptions if not part.anywhere]
        if elsewhere:
            raise ValueError(
                f"this probe looks at {', '.join(elsewhere)}, which a scan does not bring along: label scenes of the data set, or train on geometric"
            )
        if not set(AXES) <= set(inputs):
            raise ValueError(f"a probe describes places, but is fed {', '.join(inputs)}: x, y and z are missing")
        self.net, self.descriptions = net, tuple(descriptions)
        self.axes = [inputs.index(axis) for axis in AXES]
        self.attributes = [place for place, name in enumerate(inputs) if name not in AXES]

    def forward(self, coord: Tensor, feat: Tensor) -> Output:
        """The output for voxels of one scene."""
        values = feat.cpu().numpy()
        scene = Scene("scan", np.ascontiguousarray(values[:, self.axes]), np.ascontiguousarray(values[:, self.attributes]))
        rows = np.concatenate([part(scene) for part in self.descriptions], axis=1)
        output: Output = self.net(coord, torch.from_numpy(rows.astype(np.float16).astype(np.float32)).to(feat.device))
        return output
