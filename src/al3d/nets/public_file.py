"""State dicts in the files that training programs leave behind, read without running any code of theirs."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

#: Where a checkpoint keeps its state dict: ReDAL, HPAL and LiDAL; Lightning and al3d; SPVNAS and SegContrast.
CONTAINERS = ("model_state_dict", "state_dict", "model")
#: Parts of a name that wrappers put before it.
WRAPPERS = frozenset(("", "module", "net", "model"))
#: The first kernel as published files and as ours call it: what stands before it is a prefix.
PUBLISHED, OURS = "stem.0.kernel", "stem.0.conv.kernel"


@dataclass(frozen=True)
class Saved:
    """The tensors of one network in a file by their plain names, without `prefix` and `bn`; `beside` are all other tensors of the file.

    `named` gives a plain name as the file has it. `ours` says whether the names are al3d's, `wrapped` whether normalisation layers are
    MinkowskiEngine's, which wrap torch's as `bn`.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Tensor]
    named: Mapping[str, str]
    prefix: str
    ours: bool
    wrapped: bool


def read_saved(path: Path) -> Saved:
    """The network in a .tar, .pt, .pth or .ckpt file of torch, whatever the file's name.

    Raises: FileNotFoundError; ValueError for a file that cannot be read without running code, that holds no network of this topology, or
    more than one.
    """
    state = _state(path)
    anchors = {key: anchor for key in state for anchor in (PUBLISHED, OURS) if key == anchor or key.endswith(f".{anchor}")}
    prefixes = sorted({key.removesuffix(anchor) for key, anchor in anchors.items()})
    if not prefixes:
        shown = ", ".join(list(state)[:3])
        raise ValueError(
            f"{path} is not of a MinkUNet or SPVCNN as al3d builds them: no {PUBLISHED} among its {len(state)} tensors ({shown}, ...); "
            "networks with another stem or other blocks, such as MinkowskiEngine's own MinkUNet34C, have no place for their weights here"
        )
    plain = [prefix for prefix in prefixes if set(prefix.split(".")) <= WRAPPERS]
    chosen = plain or prefixes
    if len(chosen) > 1:
        raise ValueError(
            f"{path} holds {len(chosen)} networks ({', '.join(repr(prefix) for prefix in chosen)}): save the one to start from as a state dict alone"
        )
    prefix = chosen[0]
    inside = [key for key in state if key.startswith(prefix)]
    beside = {key: value for key, value in state.items() if not key.startswith(prefix)}
    wrapped = any(key.endswith(".bn.running_mean") for key in inside)
    named = {key.removeprefix(prefix).replace(".bn.", ".") if wrapped else key.removeprefix(prefix): key for key in inside}
    return Saved(path, {plain: state[key] for plain, key in named.items()}, beside, named, prefix, OURS in named, wrapped)


def fingerprint(path: Path) -> str:
    """32 hexadecimal digits over a file's content. Raises: FileNotFoundError."""
    _check_there(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}: set start.weights to a file, or to null to start from fresh weights")


def _state(path: Path) -> dict[str, Tensor]:
    _check_there(path)
    if tarfile.is_tarfile(path):
        raise ValueError(f"{path} is an archive, not a checkpoint (the .tar files that torch writes are none): unpack it and name the file inside")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling fails in many ways, all of which mean the same here
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{path} cannot be read without running code that it may bring ({reason}). If you trust it, save its weights alone, where it was made: "
            'saved = torch.load("OLD", map_location="cpu", weights_only=False); torch.save(saved["model_state_dict"], "NEW") '
            f"(or whichever of {', '.join(CONTAINERS)} it has), and name the new file"
        ) from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a state dict")
    inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), content)
    tensors = {str(key): value for key, value in inner.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{path} holds no state dict: its keys are {', '.join(map(str, list(inner)[:5])) or 'none'}")
    return tensors
