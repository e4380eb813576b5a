"""The vision transformer against one written without torch's modules, and against transformers where that is installed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import erf

from al3d.features.vit import Shape, VisionTransformer
from al3d.features.vit_weights import load_transformer
from al3d.rng import generator

Values = NDArray[Any]
PLAIN = Shape(patch=4, width=24, depth=3, heads=3, pixels=16)
SCALED = Shape(patch=4, width=24, depth=2, heads=2, pixels=24, scaled=True)
REGISTERS = Shape(patch=4, width=16, depth=2, heads=4, pixels=24, scaled=True, registers=3, offset=0.0, antialias=True)


def network_of(shape: Shape) -> VisionTransformer:
    """A network whose every weight is drawn, LayerNorms, layer scales and position embedding included."""
    network = VisionTransformer(shape)
    drawn = {
        name: torch.from_numpy(
            generator("vit", name).normal(0.3 if name.endswith("gamma") or "norm" in name else 0.0, 0.2, tuple(value.shape)).astype(np.float32)
        )
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(drawn)
    return network.eval().requires_grad_(False)


def pictures_of(count: int, pixels: int) -> torch.Tensor:
    return torch.from_numpy(generator("pictures", pixels).normal(size=(count, 3, pixels, pixels)).astype(np.float32))


def normed(rows: Values, weight: Values, bias: Values) -> Values:
    return (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-6) * weight + bias


def naive(network: VisionTransformer, picture: Values) -> tuple[Values, Values]:
    """(tokens after the last LayerNorm, keys of the last block) of one picture of the training size: float64, one head and one patch at a time."""
    shape, w = network.shape, {name: value.numpy().astype(np.float64) for name, value in network.state_dict().items()}
    side = shape.pixels // shape.patch
    patches = []
    for row in range(side):
        for column in range(side):
            cell = picture[:, row * shape.patch : (row + 1) * shape.patch, column * shape.patch : (column + 1) * shape.patch]
            patches.append([float((kernel * cell).sum()) for kernel in w["patch_embed.proj.weight"]] + w["patch_embed.proj.bias"])
    rows = np.concatenate([w["cls_token"][0], np.stack(patches)]) + w["pos_embed"][0]
    if shape.registers:
        rows = np.concatenate([rows[:1], w["register_tokens"][0], rows[1:]])
    keys = np.empty(0)
    for block in range(shape.depth):
        one = {name.removeprefix(f"blocks.{block}."): value for name, value in w.items() if name.startswith(f"blocks.{block}.")}
        inner = normed(rows, one["norm1.weight"], one["norm1.bias"])
        heads, all_keys = [], []
        size = shape.width // shape.heads
        for head in range(shape.heads):
            query, key, value = (
                inner @ one["attn.qkv.weight"][start : start + size].T + one["attn.qkv.bias"][start : start + size]
                for start in (part * shape.width + head * size for part in range(3))
            )
            weight = np.exp(query @ key.T / math.sqrt(size))
            heads.append(weight / weight.sum(1, keepdims=True) @ value)
            all_keys.append(key)
        branch = np.concatenate(heads, axis=1) @ one["attn.proj.weight"].T + one["attn.proj.bias"]
        rows = rows + branch * one.get("ls1.gamma", 1.0)
        hidden = normed(rows, one["norm2.weight"], one["norm2.bias"]) @ one["mlp.fc1.weight"].T + one["mlp.fc1.bias"]
        branch = (0.5 * hidden * (1 + erf(hidden / math.sqrt(2)))) @ one["mlp.fc2.weight"].T + one["mlp.fc2.bias"]
        rows = rows + branch * one.get("ls2.gamma", 1.0)
        keys = np.concatenate(all_keys, axis=1)
    keep = np.r_[0, 1 + shape.registers : len(rows)]
    return normed(rows, w["norm.weight"], w["norm.bias"])[keep], keys[keep][1:]


def close(found: torch.Tensor | Values, wanted: Values, limit: float = 1e-5) -> bool:
    """Equal relative to the largest value."""
    return bool(np.abs(np.asarray(found) - wanted).max() < limit * np.abs(wanted).max())


@pytest.mark.parametrize("shape", [PLAIN, SCALED, REGISTERS])
def test_tokens_and_keys_are_those_of_plain_matrix_products(shape: Shape) -> None:
    network, pictures = network_of(shape), pictures_of(2, shape.pixels)
    tokens, keys = network(pictures), network.keys(pictures)
    assert tokens.shape == (2, 1 + shape.patches, shape.width) and keys.shape == (2, shape.patches, shape.width)
    for index in range(2):
        wanted, wanted_keys = naive(network, pictures[index].numpy().astype(np.float64))
        assert close(tokens[index], wanted)
        assert close(keys[index], wanted_keys)


def test_keys_are_the_middle_third_of_what_the_last_attention_computes() -> None:
    network, pictures = network_of(PLAIN), pictures_of(1, 16)
    seen = []
    network.blocks[-1].attn.qkv.register_forward_hook(lambda module, given, output: seen.append(output))
    network(pictures)
    assert torch.allclose(network.keys(pictures), seen[0][:, 1:, 24:48], atol=1e-5)


def cubic(distance: float, a: float = -0.75) -> float:
    """Keys' kernel of bicubic interpolation, as torch has it."""
    d = abs(distance)
    if d < 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


@pytest.mark.parametrize("wanted", [3, 7])
def test_positions_follow_the_rule_with_an_offset_of_a_tenth(wanted: int) -> None:
    """Sample i of a row lies at (i + 1/2) * side / (wanted + 0.1) - 1/2, with edges repeated: not at the centres of the new cells."""
    network = network_of(PLAIN)
    side, step = 4, 4 / (wanted + 0.1)
    weights = np.zeros((wanted, side))
    for index in range(wanted):
        place = (index + 0.5) * step - 0.5
        for source in range(math.floor(place) - 1, math.floor(place) + 3):
            weights[index, min(max(source, 0), side - 1)] += cubic(place - source)
    grid = network.pos_embed[0, 1:].numpy().astype(np.float64).reshape(side, side, -1)
    expected = np.einsum("ri,cj,ijd->rcd", weights, weights, grid).reshape(wanted * wanted, -1)
    found = network.positions(wanted, wanted)[0]
    assert np.array_equal(found[0], network.pos_embed[0, 0])
    assert close(found[1:], expected)
    centred = torch.nn.functional.interpolate(torch.from_numpy(grid).permute(2, 0, 1)[None], size=(wanted, wanted), mode="bicubic")
    assert not close(found[1:], centred[0].permute(1, 2, 0).reshape(wanted * wanted, -1).numpy(), 1e-3)


def test_positions_with_registers_are_centred_and_antialiased() -> None:
    network = network_of(REGISTERS)
    grid = network.pos_embed[0, 1:].reshape(6, 6, -1).permute(2, 0, 1)[None]
    expected = torch.nn.functional.interpolate(grid, size=(2, 3), mode="bicubic", antialias=True)
    assert torch.equal(network.positions(2, 3)[0, 1:], expected[0].permute(1, 2, 0).reshape(6, -1))


def test_positions_of_the_training_size_are_the_stored_ones() -> None:
    network = network_of(PLAIN)
    assert network.positions(4, 4) is network.pos_embed


def test_shapes_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="heads"):
        Shape(patch=4, width=10, depth=1, heads=3, pixels=16)
    with pytest.raises(ValueError, match="18x18 pixels .* patches of 4x4"):
        network_of(PLAIN)(pictures_of(1, 18))


# Against transformers, where it is installed (tested with 5.23.0): its models are saved as the hub has them, and read from that file.
# Its grids have no offset.


def saved(transformers: Any, kind: str, folder: Path, **sizes: Any) -> Any:
    """A model of transformers with drawn weights, whose file lies in `folder`."""
    common = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "layer_norm_eps": 1e-6}
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**common, **sizes)).eval()
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(torch.from_numpy(generator("hub", name).normal(0.1, 0.3, tuple(value.shape))))
    model.save_pretrained(folder)
    return model


@pytest.mark.filterwarnings("ignore:.*are not used")
@pytest.mark.parametrize(
    ("kind", "sizes", "shape"),
    [
        ("ViT", {"intermediate_size": 192, "image_size": 32, "patch_size": 8}, Shape(8, 48, 3, 3, pixels=32, offset=0.0)),
        ("Dinov2", {"image_size": 56, "patch_size": 14}, Shape(14, 48, 3, 3, pixels=56, scaled=True, offset=0.0)),
        (
            "Dinov2WithRegisters",
            {"image_size": 56, "patch_size": 14, "num_register_tokens": 4},
            Shape(14, 48, 3, 3, pixels=56, scaled=True, registers=4, offset=0.0, antialias=True),
        ),
    ],
)
def test_tokens_are_those_of_transformers(kind: str, sizes: dict[str, Any], shape: Shape, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    other = saved(transformers, kind, tmp_path, **sizes)
    network = load_transformer(tmp_path / "model.safetensors", shape, kind)
    torch.save(other.state_dict(), tmp_path / "state.pth")
    again = load_transformer(tmp_path / "state.pth", shape, kind)
    for pixels in (shape.pixels, 2 * shape.patch):
        pictures = pictures_of(2, pixels)
        options = {"interpolate_pos_encoding": True} if kind == "ViT" else {}
        with torch.no_grad():
            wanted = other(pictures, **options).last_hidden_state.numpy()
        wanted = np.delete(wanted, range(1, 1 + shape.registers), axis=1)
        assert close(network(pictures), wanted) and close(again(pictures), wanted)
    seen: list[Any] = []
    key = next(module for name, module in reversed(list(other.named_modules())) if name.endswith(("k_proj", "key")))
    key.register_forward_hook(lambda module, given, output: seen.append(output))
    pictures = pictures_of(2, shape.pixels)
    with torch.no_grad():
        other(pictures)
    assert close(network.keys(pictures), seen[0][:, 1 + shape.registers :].numpy())
