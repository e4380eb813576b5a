"""Time of describing one picture with each vision transformer, its weights drawn here: `python benchmarks/vision.py [--models vits16 ...] [--repeats 3]`.

On one CPU thread, in seconds of that thread, which others on the machine disturb less than the clock on the wall; on a GPU where there is one, in seconds.
Each figure is the best of the repeats. The reference is the time that the same number of multiplications takes in one large matrix product.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from al3d.features.vision import Vision
from al3d.features.vit import Shape, VisionTransformer
from al3d.features.vit_official import official
from al3d.rng import generator

MODELS = (("dino", "vits16"), ("dino", "vitb16"), ("dino", "vits8"), ("dino", "vitb8"), ("dinov2", "vitb14"))


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
clock = time.perf_counter if DEVICE == "cuda" else time.process_time


def seconds(work: Callable[[], object]) -> float:
    start = clock()
    work()
    return clock() - start


def fastest(work: Callable[[], object], repeats: int) -> float:
    return min(seconds(work) for _ in range(repeats))


def drawn_weights(shape: Shape, path: Path) -> None:
    with torch.device("meta"):
        names = VisionTransformer(shape).state_dict()
    random = generator("benchmark", "vision")
    torch.save({name: torch.from_numpy(random.normal(0, 0.02, tuple(value.shape)).astype(np.float32)) for name, value in names.items()}, path)


def multiplications(shape: Shape, pixels: int = 224) -> float:
    """Multiplications for one picture: 12 D^2 per token and block, 2 D for each pair of tokens, and the patches' own product."""
    patches = (pixels // shape.patch) ** 2
    tokens = 1 + shape.registers + patches
    return shape.depth * (12 * tokens * shape.width**2 + 2 * tokens**2 * shape.width) + patches * 3 * shape.patch**2 * shape.width


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[model for _, model in MODELS])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    square = torch.rand(2048, 2048, device=DEVICE)
    rate = 2048**3 / fastest(lambda: (square @ square)[0, 0].item(), options.repeats + 1)
    picture = generator("benchmark", "picture").integers(0, 256, (960, 1280, 3)).astype(np.uint8)
    print(f"torch {torch.__version__}, {DEVICE}; a matrix product does {rate / 1e9:.1f}e9 multiplications a second")
    print(f"{'network':<16}{'load s':>8}{'CLS s':>8}{'keys s':>8}{'product s':>11}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as folder:
        for family, model in MODELS:
            if model not in options.models:
                continue
            one = official(family, model)
            file = Path(folder) / f"{model}.pth"
            drawn_weights(one.shape, file)
            encoder = Vision(family, model, weights=str(file), batch=1)
            first = seconds(partial(encoder, [picture]))
            cls, keys = fastest(partial(encoder, [picture]), options.repeats), fastest(partial(encoder.patches, picture), options.repeats)
            product = multiplications(one.shape) / rate
            print(f"{one.name:<16}{first - cls:>8.2f}{cls:>8.3f}{keys:>8.3f}{product:>11.3f}{cls / product:>7.2f}")


if __name__ == "__main__":
    main()
