"""What surfaces are made of: how much of the laser's light they send back, and the colours that cameras see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from al3d.types import F64

Color = tuple[float, float, float]


class Material(NamedTuple):
    """How a surface answers the laser.

    `echo` is the mean intensity seen straight on, `spread` its standard deviation, `slant` 0..1 how far it falls towards grazing incidence,
    `lost` the share of pulses without any echo, `black` the share of echoes with intensity zero.
    """

    echo: float
    spread: float
    slant: float
    lost: float
    black: float


#: Tuned on the labelled real scan: the mean and the quantiles of the intensity per class, and its zeros.
MATERIALS: dict[str, Material] = {
    "asphalt": Material(0.235, 0.075, 0.15, 0.003, 0.03),
    "paving": Material(0.325, 0.06, 0.1, 0.003, 0.01),
    "grass": Material(0.36, 0.06, 0.05, 0.003, 0.01),
    "gravel": Material(0.30, 0.10, 0.1, 0.008, 0.02),
    "paint": Material(0.46, 0.10, 0.1, 0.003, 0.0),
    "plaster": Material(0.30, 0.09, 0.5, 0.008, 0.08),
    "facade": Material(0.30, 0.09, 0.5, 0.008, 0.08),
    "brick": Material(0.27, 0.09, 0.5, 0.008, 0.10),
    "roof": Material(0.22, 0.08, 0.5, 0.008, 0.10),
    "glass": Material(0.06, 0.10, 0.7, 0.55, 0.50),
    "leaves": Material(0.40, 0.13, 0.25, 0.008, 0.09),
    "bark": Material(0.37, 0.10, 0.3, 0.008, 0.05),
    "wood": Material(0.32, 0.11, 0.4, 0.008, 0.08),
    "concrete": Material(0.33, 0.08, 0.3, 0.003, 0.03),
    "metal": Material(0.27, 0.14, 0.4, 0.05, 0.12),
    "paintwork": Material(0.24, 0.16, 0.5, 0.08, 0.25),
    "darkpaint": Material(0.08, 0.08, 0.6, 0.20, 0.50),
    "rubber": Material(0.10, 0.06, 0.3, 0.10, 0.30),
    "cloth": Material(0.30, 0.12, 0.3, 0.03, 0.06),
    "skin": Material(0.38, 0.08, 0.3, 0.02, 0.02),
    "mirror": Material(0.55, 0.30, 0.2, 0.01, 0.05),
    "plastic": Material(0.34, 0.12, 0.3, 0.02, 0.05),
}
NAMES = tuple(MATERIALS)
#: The same numbers as rows f64[materials,5], in the order of `NAMES`.
TABLE: F64 = np.array([list(material) for material in MATERIALS.values()])
FACADE, GLASS, LEAVES = NAMES.index("facade"), NAMES.index("glass"), NAMES.index("leaves")

CAR_COLORS: tuple[Color, ...] = (
    (0.82, 0.82, 0.83), (0.55, 0.57, 0.60), (0.12, 0.12, 0.14), (0.20, 0.22, 0.26), (0.60, 0.10, 0.09),
    (0.13, 0.22, 0.45), (0.35, 0.37, 0.36), (0.10, 0.28, 0.20),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (0.15, 0.17, 0.28),
    (0.55, 0.13, 0.12),
    (0.75, 0.73, 0.68),
    (0.20, 0.35, 0.25),
    (0.10, 0.10, 0.11),
    (0.45, 0.38, 0.28),
    (0.80, 0.62, 0.15),
)
WALLS: tuple[Color, ...] = (
    (0.87, 0.83, 0.72),
    (0.80, 0.78, 0.75),
    (0.76, 0.62, 0.48),
    (0.90, 0.88, 0.84),
    (0.62, 0.40, 0.32),
    (0.72, 0.68, 0.58),
    (0.66, 0.71, 0.72),
)
TILES: tuple[Color, ...] = ((0.50, 0.24, 0.18), (0.32, 0.30, 0.30), (0.42, 0.22, 0.16))
GREENS: tuple[Color, ...] = ((0.22, 0.36, 0.13), (0.28, 0.42, 0.16), (0.18, 0.30, 0.12), (0.36, 0.44, 0.18))
BARK: Color = (0.30, 0.24, 0.18)
STEEL: Color = (0.55, 0.57, 0.58)
DARK: Color = (0.08, 0.08, 0.09)
GLASS_COLOR: Color = (0.16, 0.21, 0.26)


def any_of(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    """One of the colours, a little lighter or darker."""
    red, green, blue = np.clip(np.array(colors[int(rng.integers(len(colors)))]) * rng.uniform(0.85, 1.12), 0, 1)
    return float(red), float(green), float(blue)
