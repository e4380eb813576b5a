"""Features of pictures from self-supervised vision transformers: DINO, MoCo-v3, DINOv2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from al3d.features.vit import VisionTransformer
from al3d.features.vit_official import Official, checked_hash, official, weights_file
from al3d.features.vit_weights import load_transformer
from al3d.types import F32, U8

#: Mean and standard deviation of ImageNet's colours, which all three were trained with.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_OPTIONS = {"patch_tokens": ("keys", "output"), "device": ("auto", "cpu", "cuda"), "precision": ("float32", "bfloat16")}


@dataclass(frozen=True)
class Vision:
    """A published network (`family` dino, mocov3 or dinov2; `model` such as vitb8) as a describer of pictures.

    A picture is described by the CLS token after the last LayerNorm, its patches by `patch_tokens`: the "keys" of the last self-attention with
    heads side by side, or the "output" after the last LayerNorm. Nothing is brought to length 1. `weights` is a file, null: the one torch
    keeps, which `download` may fetch. `pixels` is the side that pictures are brought to. `batch` pictures are described at a time on
    `device`; `precision` bfloat16 (its products alone; only on a GPU) is about three digits. Batches and devices change features in their last digits.
    Raises: ValueError for an unknown option.
    Source: SeedAL: DINO ViT-B/8, pictures squeezed to 224x224; CLS per picture, keys per patch.
    """

    family: str
    model: str
    weights: str | None = field(default=None, compare=False)
    download: bool = field(default=False, compare=False)
    patch_tokens: str = "keys"
    pixels: int = 224
    batch: int = field(default=16, compare=False)
    device: str = field(default="auto", compare=False)
    precision: str = "float32"

    def __post_init__(self) -> None:
        shape = self._official.shape
        for name, allowed in _OPTIONS.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"features.encoder.{name}={getattr(self, name)!r} is not one of {', '.join(allowed)}")
        if self.batch < 1:
            raise ValueError(f"features.encoder.batch={self.batch}: at least 1 picture is described at a time")
        if self.pixels < shape.patch or self.pixels % shape.patch:
            near = max(round(self.pixels / shape.patch), 1) * shape.patch
            raise ValueError(f"features.encoder.pixels={self.pixels} is no multiple of {self.model}'s patches of {shape.patch} pixels: set {near}")

    @property
    def fingerprint(self) -> str:
        """The hash of the weights file's content. Raises: FileNotFoundError without weights, ValueError when they are another network's."""
        return checked_hash(self._file(), self._official)

    @property
    def parallel(self) -> bool:
        """No: the weights are loaded once, on one device."""
        return False

    def check(self) -> None:
        """Refuse what cannot be run: a device that is not there, weights that are missing or another network's."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("features.encoder.device=cuda, but torch finds no GPU here: set features.encoder.device=cpu")
        if self.precision == "bfloat16" and self._device().type != "cuda":
            raise ValueError("features.encoder.precision=bfloat16 is for a GPU: set features.encoder.precision=float32")
        checked_hash(self._file(), self._official)

    def __call__(self, pictures: Sequence[U8]) -> F32:
        return np.concatenate([self._run(batch, patches=False) for batch in _batches(pictures, self.batch)])

    def patches(self, picture: U8) -> F32:
        """One feature per patch, row by row: f32[784,768] for ViT-B/8."""
        rows: F32 = self._run([picture], patches=True)[0]
        return rows

    @property
    def _official(self) -> Official:
        return official(self.family, self.model)

    def _file(self) -> Path:
        return weights_file(self._official, self.weights, self.download)

    def _device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def _run(self, pictures: Sequence[U8], patches: bool) -> F32:
        path, device = self._file(), self._device()
        network = _network(path, path.stat().st_mtime_ns, self._official, device)
        values = torch.from_numpy(np.stack([normalised(picture, self.pixels) for picture in pictures])).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            by_keys = patches and self.patch_tokens == "keys"
            tokens = network.keys(values) if by_keys else network(values)[:, 1:] if patches else network(values)[:, 0]
        described: F32 = tokens.float().cpu().numpy()
        return described


def normalised(picture: U8, pixels: int) -> F32:
    """A picture u8[H,W,3] as the networks want it, f32[3,pixels,pixels]: squeezed to a square, its colours of mean 0 and deviation 1 on ImageNet.

    Source: bicubic with antialias and rounding to bytes, as torchvision resizes Pillow's images.
    """
    square = Image.fromarray(picture).resize((pixels, pixels), Image.Resampling.BICUBIC)
    values = np.asarray(square, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(((values - MEAN) / DEVIATION).transpose(2, 0, 1))


def _batches(pictures: Sequence[U8], size: int) -> Iterator[Sequence[U8]]:
    for start in range(0, len(pictures), size):
        yield pictures[start : start + size]


@lru_cache(maxsize=1)
def _network(path: Path, changed: int, one: Official, device: torch.device) -> VisionTransformer:
    return load_transformer(path, one.shape, one.name).to(device)
