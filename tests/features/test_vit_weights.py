"""Weights files in every layout that the networks are published in, written here with small numbers of channels, and files that are broken."""

from __future__ import annotations

import argparse
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from al3d.features.vit import Shape, VisionTransformer
from al3d.features.vit_official import official
from al3d.features.vit_weights import load_transformer, read_tensors, weights_of
from al3d.rng import generator

PLAIN = Shape(patch=4, width=12, depth=2, heads=3, pixels=16)
SCALED = replace(PLAIN, pixels=24, scaled=True)
REGISTERS = replace(SCALED, registers=4)
State = dict[str, Tensor]


def state_of(shape: Shape, draw: str = "") -> State:
    return {
        name: torch.from_numpy(generator("weights", draw, name).normal(size=tuple(value.shape)).astype(np.float32))
        for name, value in VisionTransformer(shape).state_dict().items()
    }


def prefixed(state: Mapping[str, Tensor], prefix: str) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def hub_names(state: State, scaled: bool) -> State:
    """The names and the split products of the hub's files, ViT's or DINOv2's."""
    plain = {"norm1": "layernorm_before", "norm2": "layernorm_after", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    names = {"attn.proj": "attention.output.dense", "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1"} | ({} if scaled else plain)
    tops = {
        "cls_token": "embeddings.cls_token",
        "pos_embed": "embeddings.position_embeddings",
        "register_tokens": "embeddings.register_tokens",
        "patch_embed.proj": "embeddings.patch_embeddings.projection",
        "norm": "layernorm",
    }
    found = {}
    for name, value in state.items():
        if not name.startswith("blocks."):
            stem, kind = (name, "") if name in tops else name.rsplit(".", 1)
            found[f"{tops[stem]}{kind and '.'}{kind}"] = value
            continue
        _, number, inner = name.split(".", 2)
        if inner.startswith("attn.qkv."):
            for part, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"encoder.layer.{number}.attention.attention.{part}.{inner.split('.')[-1]}"] = piece.contiguous()
            continue
        stem = inner if inner in names else inner.rsplit(".", 1)[0]
        found[f"encoder.layer.{number}.{names.get(stem, stem)}{inner.removeprefix(stem)}"] = value
    return found


def moco(state: State) -> dict[str, Any]:
    """A checkpoint of MoCo-v3: two encoders with heads, and what training needs."""
    head = {"head.0.weight": torch.zeros(4, 12), "head.1.running_mean": torch.zeros(4)}
    values = prefixed(state_of(PLAIN, "momentum") | head, "module.momentum_encoder.") | prefixed(state | head, "module.base_encoder.")
    values |= {"module.predictor.0.weight": torch.zeros(4, 4)}
    return {"epoch": 300, "arch": "vit_base", "state_dict": values, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}


LAYOUTS: dict[str, tuple[Shape, Callable[[State], Any], str]] = {
    "DINO": (PLAIN, lambda state: state, ""),
    "DINO, a checkpoint of training": (
        PLAIN,
        lambda state: {
            "student": prefixed(state_of(PLAIN, "student"), "module.backbone."),
            "teacher": prefixed(state, "backbone.") | {"head.mlp.0.weight": torch.zeros(2)},
            "epoch": 3,
        },
        "",
    ),
    "MoCo-v3": (PLAIN, moco, r"2 values .* \(head.0.weight, head.1.running_mean\)"),
    "MoCo-v3, linear": (PLAIN, lambda state: {"state_dict": prefixed(state | {"head.weight": torch.zeros(2)}, "module.")}, r"1 values .* \(head.weight\)"),
    "MoCo-v3, momentum alone": (PLAIN, lambda state: prefixed(state, "module.momentum_encoder."), ""),
    "DINOv2": (SCALED, lambda state: state | {"mask_token": torch.zeros(1, 12)}, r"1 values .* \(mask_token\)"),
    "DINOv2, registers": (REGISTERS, lambda state: state | {"mask_token": torch.zeros(1, 12)}, r"1 values .* \(mask_token\)"),
    "hub, ViT": (PLAIN, lambda state: hub_names(state, False) | {"pooler.dense.bias": torch.zeros(12)}, r"1 values .* \(pooler.dense.bias\)"),
    "hub, ViT in a classifier": (PLAIN, lambda state: prefixed(hub_names(state, False), "vit.") | {"classifier.bias": torch.zeros(2)}, ""),
    "hub, DINOv2": (REGISTERS, lambda state: hub_names(state, True) | {"embeddings.mask_token": torch.zeros(1, 12)}, r"1 values .* \(mask_token\)"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zipped", [True, False])
def test_every_published_layout_gives_back_its_weights(layout: str, zipped: bool, tmp_path: Path) -> None:
    shape, written, said = LAYOUTS[layout]
    state, file = state_of(shape), tmp_path / "weights.pth"
    torch.save(written(state), file, _use_new_zipfile_serialization=zipped)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        network = load_transformer(file, shape, "small one")
    found = network.state_dict()
    assert set(found) == set(state) and all(torch.equal(found[name], state[name]) for name in state)
    assert not network.training and not any(value.requires_grad for value in network.parameters())
    lines = [str(one.message) for one in seen if "not used" in str(one.message)]
    assert len(lines) == bool(said) and all(re.search(said, line) and "weights.pth" in line and "\n" not in line for line in lines)


def write_safetensors(state: Mapping[str, Tensor], path: Path, kind: str = "F32") -> None:
    """As the format says: the header's length in eight bytes, the header, the numbers in its order."""
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, value in state.items():
        numbers = value.to(types[kind]).contiguous().view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(numbers)]}
        body += numbers
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize(("kind", "type_of"), [("F32", torch.float32), ("F16", torch.float16), ("BF16", torch.bfloat16)])
def test_safetensors_give_back_their_weights_in_float32(kind: str, type_of: torch.dtype, tmp_path: Path) -> None:
    state, file = state_of(SCALED), tmp_path / "model.safetensors"
    write_safetensors(hub_names(state, True), file, kind)
    found = load_transformer(file, SCALED, "small one").state_dict()
    for name, value in state.items():
        assert found[name].dtype == torch.float32
        assert torch.equal(found[name], value.to(type_of).float())


def test_a_network_keeps_its_weights_when_the_file_changes(tmp_path: Path) -> None:
    state, file = state_of(PLAIN), tmp_path / "model.safetensors"
    write_safetensors(state, file)
    network = load_transformer(file, PLAIN, "small one")
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(file.stat().st_size // 2))
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_reading_draws_nothing_from_torch(tmp_path: Path) -> None:
    torch.save(state_of(PLAIN), tmp_path / "weights.pth")
    before = torch.get_rng_state()
    load_transformer(tmp_path / "weights.pth", PLAIN, "small one")
    assert torch.equal(torch.get_rng_state(), before)


def refused(value: Any, shape: Shape, folder: Path) -> str:
    torch.save(value, folder / "weights.pth")
    with pytest.raises(ValueError, match="weights.pth") as caught:
        weights_of(folder / "weights.pth", shape, "small one")
    return str(caught.value)


def test_missing_weights_name_the_file_and_the_first_of_them(tmp_path: Path) -> None:
    state = {name: value for name, value in state_of(PLAIN).items() if not name.startswith("blocks.1.")}
    message = refused(state, PLAIN, tmp_path)
    assert "12 weights are missing (blocks.1.norm1.weight, blocks.1.norm1.bias, blocks.1.attn.qkv.weight, ...)" in message
    assert "the file has width 12, 1 blocks, patch 4, 17 positions" in message and "features.encoder.model" in message


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    assert "have another shape (cls_token" in refused(state_of(replace(PLAIN, width=24)), PLAIN, tmp_path)
    assert "have another shape (patch_embed.proj.weight)" in refused(state_of(replace(PLAIN, patch=2, pixels=8)), PLAIN, tmp_path)


def test_weights_that_would_silently_be_left_out_are_refused(tmp_path: Path) -> None:
    assert "have no place in it (blocks.2.norm1" in refused(state_of(replace(PLAIN, depth=3)), PLAIN, tmp_path)
    assert "have no place in it (blocks.0.ls1.gamma" in refused(state_of(replace(PLAIN, scaled=True)), PLAIN, tmp_path)
    assert "have no place in it (register_tokens)" in refused(state_of(REGISTERS), SCALED, tmp_path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    assert "no vision transformer: none of its 1 names" in refused({"conv1.weight": torch.zeros(3)}, PLAIN, tmp_path)
    assert "holds a list" in refused([1, 2], PLAIN, tmp_path)


class Harmful:
    """What a pickle runs when it is read the usual way."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    message = refused({"state_dict": state_of(PLAIN), "hook": Harmful(tmp_path / "ran")}, PLAIN, tmp_path)
    assert "could run code" in message and not (tmp_path / "ran").exists()
    assert "it also holds argparse.Namespace" in refused({"teacher": state_of(PLAIN), "args": argparse.Namespace(lr=1)}, PLAIN, tmp_path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_files_that_are_broken_are_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith(".pth"):
        torch.save(state_of(PLAIN), file)
    else:
        write_safetensors(state_of(PLAIN), file)
    whole = file.read_bytes()
    for broken in (b"", b"<html>not found</html>", whole[:100], whole[: len(whole) // 2], whole[:-1000]):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=re.escape(str(file))):
            read_tensors(file)


def test_safetensors_with_a_false_header_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    for entry in (
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]},
        {"dtype": "F32", "shape": [4], "data_offsets": [-16, 0]},
        {"dtype": "F32", "shape": [40], "data_offsets": [0, 160]},
        {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]},
    ):
        text = json.dumps({"cls_token": entry}).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
        with pytest.raises(ValueError, match="cls_token"):
            read_tensors(file)


@pytest.mark.parametrize(
    ("family", "model", "parameters"),
    [
        ("dino", "vits8", 21_670_272),
        ("dino", "vits16", 21_665_664),
        ("dino", "vitb8", 85_807_872),
        ("dino", "vitb16", 85_798_656),
        ("mocov3", "vits16", 21_665_664),
        ("mocov3", "vitb16", 85_798_656),
        ("dinov2", "vits14", 22_056_192),
        ("dinov2", "vitb14", 86_579_712),
        ("dinov2", "vitl14", 304_367_616),
        ("dinov2", "vitl14_reg", 304_367_616 + 4 * 1024),
    ],
)
def test_published_networks_have_as_many_parameters_as_elsewhere(family: str, model: str, parameters: int) -> None:
    """As the same networks of transformers 5.23.0 have without pooler and mask token."""
    with torch.device("meta"):
        assert sum(value.numel() for value in VisionTransformer(official(family, model).shape).parameters()) == parameters


def test_published_networks_attend_with_the_heads_that_no_file_tells() -> None:
    heads = {("dino", "vits8"): 6, ("dino", "vitb8"): 12, ("mocov3", "vits16"): 12, ("mocov3", "vitb16"): 12, ("dinov2", "vits14"): 6, ("dinov2", "vitl14"): 16}
    assert {key: official(*key).shape.heads for key in heads} == heads


@pytest.mark.parametrize(
    ("family", "model", "path"),
    [
        ("dino", "vitb8", "dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth"),
        ("dino", "vits16", "dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth"),
        ("mocov3", "vitb16", "moco-v3/vit-b-300ep/vit-b-300ep.pth.tar"),
        ("dinov2", "vitb14", "dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth"),
        ("dinov2", "vits14_reg", "dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth"),
    ],
)
def test_weights_are_where_their_authors_put_them(family: str, model: str, path: str) -> None:
    assert official(family, model).url == f"https://dl.fbaipublicfiles.com/{path}"
    assert official(family, model).kept.name == path.split("/")[-1]
