"""The published self-supervised vision transformers: their sizes, and where their weights are."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from al3d.features.vit import Shape
from al3d.features.vit_weights import weights_of
from al3d.run import first_process, wait_for

HOST = "https://dl.fbaipublicfiles.com"
_SIZES = {"vits": (384, 12, 6), "vitb": (768, 12, 12), "vitl": (1024, 24, 16)}  # width, depth, heads


@dataclass(frozen=True)
class Official:
    """One published network: what it is called, its sizes, and the path of its weights on the authors' host."""

    name: str
    shape: Shape
    path: str

    @property
    def url(self) -> str:
        """Where the authors offer the weights."""
        return f"{HOST}/{self.path}"

    @property
    def kept(self) -> Path:
        """Where torch keeps a file of that name once it was fetched."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.path.rsplit("/", 1)[-1]


def _dino(size: str, patch: int, file: str) -> Official:
    width, depth, heads = _SIZES[size]
    return Official(f"dino {size}{patch}", Shape(patch, width, depth, heads), f"dino/{file}/{file}.pth")


def _moco(size: str, file: str) -> Official:
    width, depth, _ = _SIZES[size]
    # Its small network has 12 heads too, unlike everybody else's: a file does not tell.
    return Official(f"mocov3 {size}16", Shape(16, width, depth, heads=12), f"moco-v3/{file}/{file}.pth.tar")


def _dinov2(size: str, registers: bool) -> Official:
    width, depth, heads = _SIZES[size]
    shape = Shape(14, width, depth, heads, pixels=518, scaled=True)
    if registers:
        shape = Shape(14, width, depth, heads, pixels=518, scaled=True, registers=4, offset=0.0, antialias=True)
    return Official(
        f"dinov2 {size}14{'_reg' if registers else ''}", shape, f"dinov2/dinov2_{size}14/dinov2_{size}14{'_reg4' if registers else ''}_pretrain.pth"
    )


_PUBLISHED = (
    *(_dino("vits", patch, f"dino_deitsmall{patch}_pretrain") for patch in (8, 16)),
    *(_dino("vitb", patch, f"dino_vitbase{patch}_pretrain") for patch in (8, 16)),
    _moco("vits", "vit-s-300ep"),
    _moco("vitb", "vit-b-300ep"),
    *(_dinov2(size, registers) for registers in (False, True) for size in _SIZES),
)


def official(family: str, model: str) -> Official:
    """The published network `model` of `family`. Raises: ValueError listing the ones there are."""
    for one in _PUBLISHED:
        if one.name == f"{family} {model}":
            return one
    known = ", ".join(one.name for one in _PUBLISHED)
    raise ValueError(f"features.encoder.family={family} has no features.encoder.model={model}; known are: {known}")


def weights_file(one: Official, weights: str | None, download: bool = False) -> Path:
    """The file with the network's weights: `weights`, or the one that torch keeps; with `download` it is fetched there first.

    Raises: FileNotFoundError with the command that fetches it; OSError when fetching fails.
    """
    if weights is not None:
        path = Path(weights).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"features.encoder.weights={weights} is not there: name the file with the weights of {one.name}\n{_way(one)}")
        return path
    if one.kept.is_file():
        return one.kept
    if not download:
        raise FileNotFoundError(f"the weights of {one.name} are not on this machine ({one.kept})\n{_way(one)}")
    if first_process():
        _fetch(one)
    wait_for(one.kept)
    return one.kept


def _way(one: Official) -> str:
    return (
        f"Fetch them once:\n  curl -fL --create-dirs -o {one.kept} {one.url}\n"
        f"and run the same command again. If you keep the file elsewhere, add features.encoder.weights=/path/to/{one.kept.name}; "
        "features.encoder.download=true fetches it by itself. These features describe photographs: for scenes without any, add also "
        "views@features.views=drawn. features=handcrafted needs no weights."
    )


def _fetch(one: Official) -> None:
    one.kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(one.url, str(one.kept), progress=sys.stderr.isatty())
    except OSError as error:
        raise OSError(f"the weights of {one.name} could not be fetched from {one.url} ({error})\n{_way(one)}") from error


def checked_hash(path: Path, one: Official) -> str:
    """The hash (32 hexadecimal digits) of a weights file's content, once it is clear that the network fits it; remembered until the file changes.

    Raises: ValueError as `weights_of`.
    """
    state = path.stat()
    return _checked_hash(path, state.st_size, state.st_mtime_ns, one)


@lru_cache(maxsize=8)
def _checked_hash(path: Path, size: int, changed: int, one: Official) -> str:
    weights_of(path, one.shape, one.name)
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
