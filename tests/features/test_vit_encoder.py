"""Describing pictures with a vision transformer: how pictures are brought to its size, what comes out, where its weights are looked for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from numpy.typing import NDArray

from al3d.data.hashing import hash_of
from al3d.data.jobs import Jobs
from al3d.data.store import Store
from al3d.features import vision, vit_official
from al3d.features.kept import keep_features
from al3d.features.photographs import Photographs
from al3d.features.pictures import Pictures
from al3d.features.vision import Vision, normalised
from al3d.features.vit import Shape, VisionTransformer
from al3d.features.vit_official import Official, official
from al3d.features.vit_weights import load_transformer
from al3d.rng import generator
from al3d.types import U8

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = Official("dino small", Shape(patch=16, width=24, depth=2, heads=3), "dino/dino_small/dino_small.pth")
OTHER = Official("dino other", Shape(patch=16, width=36, depth=2, heads=3), "dino/dino_other/dino_other.pth")
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def write_weights(path: Path, one: Official = SMALL, draw: int = 0) -> Path:
    names = VisionTransformer(one.shape).state_dict()
    torch.save({name: torch.from_numpy(generator(draw, name).normal(0.2, 0.3, tuple(value.shape)).astype(np.float32)) for name, value in names.items()}, path)
    return path


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two small networks beside the published ones, and an empty cache of torch's."""
    monkeypatch.setattr(vit_official, "_PUBLISHED", (*vit_official._PUBLISHED, SMALL, OTHER))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def encoder(tmp_path: Path) -> Vision:
    return Vision("dino", "small", weights=str(write_weights(tmp_path / "small.pth")), device="cpu")


def pictures_of(*sizes: tuple[int, int]) -> list[U8]:
    """Smooth pictures of these heights and widths, so that resizing does not wash them out."""
    found = []
    for index, (height, width) in enumerate(sizes):
        coarse = generator("vit pictures", index).integers(0, 256, (6, 6, 3)).astype(np.uint8)
        found.append(np.repeat(np.repeat(coarse, -(-height // 6), 0), -(-width // 6), 1)[:height, :width])
    return found


# Pictures as the network wants them.


@pytest.mark.parametrize("size", [(224, 224), (31, 500), (960, 1280), (1, 1)])
def test_one_colour_stays_itself_at_any_size(size: tuple[int, int]) -> None:
    colour = np.array([255, 128, 3], np.uint8)
    found = normalised(np.broadcast_to(colour, (*size, 3)).copy(), 224)
    assert found.shape == (3, 224, 224) and found.dtype == np.float32 and found.flags.c_contiguous
    expected = (colour / 255 - MEAN) / DEVIATION
    assert np.abs(found - expected[:, None, None]).max() < 1e-6


def test_a_picture_of_the_right_size_is_only_normalised() -> None:
    picture = generator("exact").integers(0, 256, (224, 224, 3)).astype(np.uint8)
    expected = (picture.transpose(2, 0, 1) / 255 - MEAN[:, None, None]) / DEVIATION[:, None, None]
    assert np.abs(normalised(picture, 224) - expected).max() < 1e-6


def kernel(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic of Pillow's bicubic, whose free parameter is -1/2."""
    d = np.abs(distance)
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0))


def resampling(old: int, new: int) -> NDArray[np.float64]:
    """What each new pixel takes of each old one, f64[new,old]: the kernel is as wide as a new pixel, if that is larger, and sums to 1."""
    scale = max(old / new, 1.0)
    centres = (np.arange(new) + 0.5) * old / new
    weights = kernel((np.arange(old) + 0.5 - centres[:, None]) / scale)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("size", [(640, 480), (100, 300), (37, 224)])
def test_resizing_is_bicubic_with_antialias_and_squeezes(size: tuple[int, int]) -> None:
    """Against plain matrix products; bytes are rounded after each direction, so two thirds of a grey value may be lost."""
    (picture,) = pictures_of(size)
    wide = np.clip(np.einsum("xw,hwc->hxc", resampling(size[1], 224), picture.astype(np.float64)), 0, 255)
    expected = np.clip(np.einsum("yh,hxc->yxc", resampling(size[0], 224), wide), 0, 255)
    found = normalised(picture, 224).transpose(1, 2, 0) * DEVIATION + MEAN
    assert np.abs(found * 255 - expected).max() < 1.7
    assert np.abs(found * 255 - expected).mean() < 0.4


# What comes out.


def test_pictures_have_the_class_token_and_patches_their_keys(encoder: Vision) -> None:
    pictures = pictures_of((224, 224), (100, 300), (640, 480))
    network = load_transformer(Path(str(encoder.weights)), SMALL.shape, "small")
    values = torch.from_numpy(np.stack([normalised(picture, 224) for picture in pictures]))
    found = encoder(pictures)
    assert found.dtype == np.float32 and found.shape == (3, 24)
    assert np.abs(found - network(values)[:, 0].numpy()).max() < 1e-5
    assert np.abs(encoder.patches(pictures[1]) - network.keys(values)[1].numpy()).max() < 1e-5
    outputs = replace(encoder, patch_tokens="output").patches(pictures[1])
    assert outputs.shape == (196, 24) and np.abs(outputs - network(values)[1, 1:].numpy()).max() < 1e-5
    assert np.abs(np.linalg.norm(found, axis=1) - 1).min() > 0.1, "features keep their lengths"
    assert np.abs(found[0] - found[1]).max() > 0.01, "other pictures have other features"


def test_patches_run_row_by_row(encoder: Vision) -> None:
    """A change at the right of the first row of patches changes the patch's own output most."""
    flat = np.full((224, 224, 3), 100, np.uint8)
    marked = flat.copy()
    marked[:16, 208:] = [255, 0, 0]
    outputs = replace(encoder, patch_tokens="output")
    moved = np.abs(outputs.patches(marked) - outputs.patches(flat)).sum(axis=1)
    assert moved.argmax() == 13


def test_features_do_not_depend_on_the_batch_and_repeat_exactly(encoder: Vision) -> None:
    pictures = pictures_of(*[(50 + 10 * index, 90) for index in range(7)])
    whole = encoder(pictures)
    assert np.array_equal(encoder(pictures), whole)
    for batch in (1, 3, 7):
        assert np.abs(replace(encoder, batch=batch)(pictures) - whole).max() < 1e-5 * np.abs(whole).max()
    assert np.abs(encoder(pictures[::-1])[::-1] - whole).max() < 1e-5 * np.abs(whole).max()


def test_other_sizes_of_pictures_have_other_numbers_of_patches(encoder: Vision) -> None:
    (picture,) = pictures_of((300, 300))
    assert replace(encoder, pixels=96).patches(picture).shape == (36, 24)
    with pytest.raises(ValueError, match="pixels=100 is no multiple of small's patches of 16 pixels: set 96"):
        replace(encoder, pixels=100)


def test_weights_are_loaded_once(encoder: Vision, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    monkeypatch.setattr(vision, "load_transformer", lambda *given: loaded.append(given) or load_transformer(*given))
    vision._network.cache_clear()
    pictures = pictures_of((50, 50))
    for _ in range(3):
        encoder(pictures)
        encoder.patches(pictures[0])
    assert len(loaded) == 1


def test_new_weights_under_an_old_name_are_seen(encoder: Vision) -> None:
    pictures, file = pictures_of((50, 50)), Path(str(encoder.weights))
    before, hash_before = encoder(pictures), encoder.fingerprint
    write_weights(file, draw=1)
    assert encoder.fingerprint != hash_before
    assert np.abs(encoder(pictures) - before).max() > 0.01


# Identity.


def identity(encoder: Vision) -> str:
    return hash_of(Pictures("dino", Photographs(), encoder).identity)


def test_features_are_named_by_what_is_in_the_weights_and_not_where_they_are(encoder: Vision, tmp_path: Path) -> None:
    copy = str(shutil.copy(str(encoder.weights), tmp_path / "elsewhere.pth"))
    for same in (replace(encoder, weights=copy), replace(encoder, batch=3), replace(encoder, device="auto"), replace(encoder, download=True)):
        assert identity(same) == identity(encoder)
    changed = str(write_weights(tmp_path / "changed.pth", draw=1))
    for other in (
        replace(encoder, weights=changed),
        replace(encoder, patch_tokens="output"),
        replace(encoder, pixels=96),
        replace(encoder, precision="bfloat16"),
    ):
        assert identity(other) != identity(encoder)


# Where the weights are.


def test_without_weights_the_error_says_how_to_fetch_them(tmp_path: Path) -> None:
    encoder = Vision("dino", "vitb8")
    place = tmp_path / "torch" / "hub" / "checkpoints" / "dino_vitbase8_pretrain.pth"
    for ask in (encoder.check, lambda: encoder.fingerprint):
        with pytest.raises(FileNotFoundError) as caught:
            ask()
        message = str(caught.value)
        assert f"\n  curl -fL --create-dirs -o {place} https://dl.fbaipublicfiles.com/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth\n" in message
        assert "features.encoder.weights=" in message and "features.encoder.download=true" in message and "views@features.views=drawn" in message
    assert not place.parent.exists()


def test_a_named_file_that_is_not_there_is_an_error_even_if_torch_keeps_one() -> None:
    SMALL.kept.parent.mkdir(parents=True)
    write_weights(SMALL.kept)
    with pytest.raises(FileNotFoundError, match="weights=/nowhere/dino.pth is not there"):
        Vision("dino", "small", weights="/nowhere/dino.pth").check()


def test_weights_that_torch_keeps_are_found(encoder: Vision) -> None:
    SMALL.kept.parent.mkdir(parents=True)
    shutil.copy(str(encoder.weights), SMALL.kept)
    kept = Vision("dino", "small", device="cpu")
    kept.check()
    assert kept.fingerprint == encoder.fingerprint
    assert np.array_equal(kept(pictures_of((40, 40))), encoder(pictures_of((40, 40))))


def test_weights_are_fetched_only_when_asked(encoder: Vision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = tmp_path / "host"
    (host / SMALL.path).parent.mkdir(parents=True)
    shutil.copy(str(encoder.weights), host / SMALL.path)
    monkeypatch.setattr(vit_official, "HOST", host.as_uri())
    with pytest.raises(FileNotFoundError):
        Vision("dino", "small").check()
    assert not SMALL.kept.exists()
    fetching = Vision("dino", "small", download=True)
    assert fetching.fingerprint == encoder.fingerprint and SMALL.kept.is_file()
    (host / SMALL.path).unlink()
    fetching.check()
    with pytest.raises(OSError, match="could not be fetched from file:.*dino_other.pth"):
        Vision("dino", "other", download=True).check()
    assert list(SMALL.kept.parent.iterdir()) == [SMALL.kept], "nothing half-fetched stays"


def test_weights_of_another_network_are_refused_before_any_work(encoder: Vision) -> None:
    with pytest.raises(ValueError, match="does not hold a dino other: .* width 24, .* and dino other width 36"):
        _ = replace(encoder, model="other").fingerprint


def test_what_is_not_there_is_refused(encoder: Vision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device=cpu"):
        replace(encoder, device="cuda").check()
    with pytest.raises(ValueError, match="precision=float32"):
        replace(encoder, precision="bfloat16").check()
    with pytest.raises(ValueError, match="family=dino has no features.encoder.model=vitb9; known are: dino vits8"):
        Vision("dino", "vitb9")
    for wrong in ({"device": "gpu"}, {"precision": "float16"}, {"patch_tokens": "values"}, {"batch": 0}):
        with pytest.raises(ValueError, match=f"features.encoder.{next(iter(wrong))}="):
            replace(encoder, **wrong)


def test_scenes_without_photographs_are_named(encoder: Vision, tiny_store: Store) -> None:
    names = tiny_store.splits["train"]
    with pytest.raises(ValueError, match=r"dino features cannot describe 6 of 6 scenes(.|\n)*'t_1' has no photographs: set views@features.views="):
        keep_features(tiny_store, Pictures("dino", Photographs(), encoder), None, names, Jobs())


@pytest.mark.parametrize(("name", "network"), [("dino", "dino vitb8"), ("mocov3", "mocov3 vitb16"), ("dinov2", "dinov2 vitb14")])
def test_configuration_names_a_published_network(name: str, network: str) -> None:
    with initialize_config_dir(config_dir=str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose("train", overrides=["seed=kcenter", f"features={name}", "features.encoder.batch=5"])
    features = instantiate(config.seed.features, _convert_="all")
    assert isinstance(features, Pictures) and features.name == name and features.views == Photographs() and not features.center
    assert official(features.encoder.family, features.encoder.model).name == network
    assert features.encoder == Vision(name, network.split()[1]) and features.encoder.batch == 5
    assert not features.parallel and not features.encoder.download
