"""Reading the weights of vision transformers: the official files of DINO, MoCo-v3 and DINOv2, and those of the Hugging Face hub."""

from __future__ import annotations

import errno
import json
import math
import mmap
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from al3d.features.vit import Shape, VisionTransformer

_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8}

#: Names of the Hugging Face hub's files, and of the state of a model in transformers 5, to ours; applied in this order.
_HUB_NAMES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
        (r"^embeddings\.position_embeddings$", "pos_embed"),
        (r"^embeddings\.", ""),
        (r"^layernorm\.", "norm."),
        (r"^(?:encoder\.)?layers?\.(\d+)\.", r"blocks.\1."),
        (r"\.layernorm_before\.", ".norm1."),
        (r"\.layernorm_after\.", ".norm2."),
        (r"\.attention\.(?:attention\.(query|key|value)|([qkv])_proj)\.", r".attn.\1\2."),
        (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
        (r"\.intermediate\.dense\.", ".mlp.fc1."),
        (r"\.output\.dense\.", ".mlp.fc2."),
        (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    )
)
_QUERY = re.compile(r"\.attn\.q(?:uery)?\.(weight|bias)$")


def load_transformer(path: Path, shape: Shape, name: str) -> VisionTransformer:
    """The network of a weights file, in float32 and ready to be asked; `name` is what its kind is called in messages.

    Values of the file that the network has no place for (heads, mask tokens) are named in a warning of one line. Raises: ValueError as `weights_of`.
    """
    network = _blank(shape)
    found = weights_of(path, shape, name)
    wanted = network.state_dict()
    unused = [key for key in found if key not in wanted]
    if unused:
        listing = f"{', '.join(unused[:3])}{', ...' if len(unused) > 3 else ''}"
        warnings.warn(f"{path.name}: {len(unused)} values beside the {name} are not used ({listing})", stacklevel=2)
    network.load_state_dict({key: found[key].to(torch.float32, copy=True) for key in wanted}, assign=True)
    return network.eval().requires_grad_(False)


def weights_of(path: Path, shape: Shape, name: str) -> dict[str, Tensor]:
    """The values of a weights file under the official names of DINO, those of its head included; they stay in the file until they are used.

    Raises: ValueError when it cannot be read, when a weight of the network is missing or has another shape, or when the file holds
    weights of blocks that the network does not have.
    """
    found = _official_names(read_tensors(path), path)
    wanted = _blank(shape).state_dict()
    missing = [key for key in wanted if key not in found]
    other = [key for key in wanted if key in found and found[key].shape != wanted[key].shape]
    # Left out, these would give other features without a word; a head or a mask token is only used in training.
    foreign = [key for key in found if key not in wanted and key.startswith(("blocks.", "register_tokens", "patch_embed.", "pos_embed", "norm."))]
    for keys, words in ((missing, "are missing"), (other, "have another shape"), (foreign, "have no place in it")):
        if keys:
            listing = f"{', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
            raise ValueError(
                f"{path} does not hold a {name}: {len(keys)} weights {words} ({listing}); the file has {_described(found)}, and {name} {_described(wanted)}. "
                "Set features and features.encoder.model to what the file is, or features.encoder.weights to another file"
            )
    return found


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named arrays of a file of torch.save or safetensors; of a checkpoint its `state_dict`, or its `teacher`.

    Nothing in the file is run. Raises: ValueError for a file that is neither or is cut short.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        value: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} cannot be read as plain weights: {_reason(error)}. Fetch the file again, or save the model's state_dict() alone with torch.save"
        ) from error
    for part in ("state_dict", "teacher"):
        if isinstance(value, Mapping) and isinstance(value.get(part), Mapping):
            value = value[part]
    if not isinstance(value, Mapping):
        raise ValueError(f"{path} holds a {type(value).__name__}, not named weights: save the model's state_dict()")
    return {str(key): tensor for key, tensor in value.items() if isinstance(tensor, Tensor)}


def _blank(shape: Shape) -> VisionTransformer:
    with torch.device("meta"):  # no memory, and no draw from torch's generator
        return VisionTransformer(shape)


def _official_names(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The arrays of the encoder that the names have in common with DINO's files; of two encoders the one that was trained, as MoCo-v3 evaluates."""
    ends = [key.removesuffix("cls_token").removesuffix("embeddings.") for key in tensors if key.split(".")[-1] == "cls_token"]
    if not ends:
        some = f", but {', '.join(list(tensors)[:3])}" if tensors else ""
        raise ValueError(f"{path} holds no vision transformer: none of its {len(tensors)} names ends in cls_token{some}")
    prefix = min(ends)  # module.base_encoder. comes before module.momentum_encoder.
    names = {key: key.removeprefix(prefix) for key in tensors if key.startswith(prefix)}
    if f"{prefix}embeddings.cls_token" in tensors:
        for pattern, name in _HUB_NAMES:
            names = {key: pattern.sub(name, old) for key, old in names.items()}
    found = {name: tensors[key] for key, name in names.items()}
    for query in [key for key in found if _QUERY.search(key)]:
        block, (kind,) = query[: query.rindex(".attn.")], _QUERY.findall(query)
        short = query.endswith(f".q.{kind}")
        parts = [f"{block}.attn.{part}.{kind}" for part in (("q", "k", "v") if short else ("query", "key", "value"))]
        if all(part in found for part in parts):
            found[f"{block}.attn.qkv.{kind}"] = torch.cat([found.pop(part) for part in parts])
    return found


def _described(weights: Mapping[str, Tensor]) -> str:
    depth = len({key.split(".")[1] for key in weights if key.startswith("blocks.")})
    patch = weights["patch_embed.proj.weight"].shape[-1] if "patch_embed.proj.weight" in weights else "?"
    positions = weights["pos_embed"].shape[1] if "pos_embed" in weights else "?"
    scaled = ", layer scale" if any(key.endswith(".gamma") for key in weights) else ""
    registers = f", {weights['register_tokens'].shape[1]} registers" if "register_tokens" in weights else ""
    return f"width {weights['cls_token'].shape[-1]}, {depth} blocks, patch {patch}, {positions} positions{scaled}{registers}"


def _reason(error: Exception) -> str:
    """What torch found, without its advice to trust the file."""
    name = re.search(r"GLOBAL (\S+) was not", str(error))
    if name:
        return f"it also holds {name[1]}, and reading that could run code"
    other = isinstance(error, OSError) and error.errno != errno.EINVAL  # which is how torch meets the end of a zip file that was cut
    return str(error) if other else "it is cut short, or was not written by torch.save"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """The arrays of a safetensors file: eight bytes with the length of a JSON header, the header, the numbers."""
    with path.open("rb") as file:
        try:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length < path.stat().st_size else None
        except (UnicodeDecodeError, json.JSONDecodeError):
            header = None
        if not isinstance(header, dict):
            raise ValueError(f"{path} is no safetensors file, or is cut short: fetch it again")
        # A private copy that is paged in where it is read: torch wants a buffer that can be written.
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {name: _array(path, name, entry, memory, 8 + length) for name, entry in header.items() if name != "__metadata__"}


def _array(path: Path, name: str, entry: Mapping[str, Any], memory: mmap.mmap, start: int) -> Tensor:
    kind, shape, (first, last) = _TYPES.get(entry["dtype"]), entry["shape"], entry["data_offsets"]
    if kind is None:
        raise ValueError(f"{path}: {name} has the type {entry['dtype']}, which is not read: save it as float32")
    count = math.prod(shape)
    if not 0 <= first <= last <= len(memory) - start or last - first != count * kind.itemsize:
        raise ValueError(f"{path}: {name} reaches beyond the file's end: fetch it again")
    return torch.frombuffer(memory, dtype=kind, count=count, offset=start + first).reshape(shape) if count else torch.empty(shape, dtype=kind)
