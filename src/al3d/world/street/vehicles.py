"""Shapes of what drives: each stands on z = 0, centred, and faces +x."""

from __future__ import annotations

import numpy as np

from al3d.world.street.materials import CAR_COLORS, CLOTHES, DARK, GLASS_COLOR, STEEL, Color, any_of
from al3d.world.street.parts import BALL, BOX, HOOP, Parts, Shape


def _paint(rng: np.random.Generator) -> tuple[str, Color, float]:
    color = any_of(CAR_COLORS, rng)
    return ("darkpaint" if sum(color) < 0.8 else "paintwork"), color, float(rng.uniform(0.5, 1.4))


def _lights(parts: Parts, length: float, width: float, height: float) -> None:
    for side in (-1, 1):
        parts.box(
            (length / 2 - 0.08, side * width * 0.36 - 0.14, height),
            (length / 2 + 0.005, side * width * 0.36 + 0.14, height + 0.14),
            "plastic",
            (0.9, 0.9, 0.85),
        )
        parts.box(
            (-length / 2 - 0.005, side * width * 0.38 - 0.12, height),
            (-length / 2 + 0.08, side * width * 0.38 + 0.12, height + 0.16),
            "mirror",
            (0.6, 0.08, 0.06),
        )
    parts.box((-length / 2 - 0.015, -0.26, height - 0.2), (-length / 2, 0.26, height - 0.09), "mirror", (0.9, 0.9, 0.8))


def _wheels(parts: Parts, axles: tuple[float, ...], width: float, radius: float, thick: float = 0.22) -> None:
    for x in axles:
        for side in (-1, 1):
            parts.wheel(x, side * (width / 2 + 0.02 - thick / 2), radius, thick)


def car(rng: np.random.Generator) -> Shape:
    """A passenger car: body, cabin of glass with a roof, wheels, lamps; saloon, hatchback, estate or van."""
    parts = Parts("car")
    paint, color, gloss = _paint(rng)
    kind = ("saloon", "hatch", "estate", "van")[int(rng.choice(4, p=[0.35, 0.3, 0.22, 0.13]))]
    length = {"saloon": 4.5, "hatch": 3.9, "estate": 4.6, "van": 4.8}[kind] * rng.uniform(0.94, 1.06)
    width, roof = rng.uniform(1.68, 1.86), {"saloon": 1.43, "hatch": 1.48, "estate": 1.5, "van": 1.9}[kind] + rng.uniform(-0.04, 0.08)
    belt, clear = 0.62 * roof, 0.22
    parts.box((-length / 2, -width / 2, clear + 0.1), (length / 2, width / 2, belt - 0.08), paint, color, (0.03, 0.03))
    parts.box((-length / 2 + 0.05, -width / 2 + 0.1, clear - 0.05), (length / 2 - 0.05, width / 2 - 0.1, clear + 0.12), "rubber", DARK)
    parts.box((-length / 2 + 0.06, -width / 2 + 0.03, belt - 0.1), (length / 2 - 0.12, width / 2 - 0.03, belt), paint, color, (0.10, 0.06))
    front = {"saloon": 0.22, "hatch": 0.24, "estate": 0.22, "van": 0.33}[kind] * length
    rear = {"saloon": -0.36, "hatch": -0.46, "estate": -0.475, "van": -0.485}[kind] * length
    top_front, top_rear = (
        front - 0.75 * (roof - belt) * rng.uniform(1.2, 1.5),
        rear + (roof - belt) * {"saloon": 1.1, "hatch": 0.6, "estate": 0.35, "van": 0.12}[kind],
    )
    middle, half = (front + rear) / 2, (front - rear) / 2
    lean = 1 - (top_front - top_rear) / 2 / half
    shift = (top_front + top_rear) / 2 - middle
    parts.add(BOX, (middle + shift / 2, 0, (belt + roof) / 2 - 0.02), (half, width / 2 - 0.06, (roof - belt) / 2), "glass", GLASS_COLOR, (lean, 0.18))
    parts.box((top_rear, -width / 2 + 0.18, roof - 0.07), (top_front, width / 2 - 0.18, roof), paint, color, (0.05, 0.08))
    for x in (top_front, (top_front + top_rear) / 2, top_rear):
        for side in (-1, 1):
            base = x + (0.75 * (x - middle - shift))
            end = float(np.clip(base, rear, front)) if x != (top_front + top_rear) / 2 else x
            parts.rod((end, side * (width / 2 - 0.07), belt - 0.03), (x, side * (width / 2 - 0.2), roof - 0.03), 0.045, paint, color)
    for side in (-1, 1):
        parts.add(BALL, (front - 0.15, side * (width / 2 + 0.09), belt + 0.07), (0.08, 0.1, 0.07), paint, color)
    _wheels(parts, (0.31 * length, -0.29 * length), width, rng.uniform(0.3, 0.34))
    _lights(parts, length, width, 0.55)
    return parts.built(gloss)


def truck(rng: np.random.Generator) -> Shape:
    """A lorry: cab, frame, a box body or an open bed."""
    parts = Parts("truck")
    paint, color, gloss = _paint(rng)
    length, width, height = rng.uniform(6.5, 9.5), rng.uniform(2.2, 2.5), rng.uniform(2.9, 3.6)
    cab = length / 2 - 1.9
    parts.box((cab, -width / 2, 0.5), (length / 2, width / 2, 1.5), paint, color, (0.02, 0.02))
    parts.box((cab, -width / 2 + 0.04, 1.5), (length / 2 - 0.05, width / 2 - 0.04, 2.35), "glass", GLASS_COLOR, (0.1, 0.04))
    parts.box((cab, -width / 2 + 0.06, 2.3), (length / 2 - 0.2, width / 2 - 0.06, 2.65), paint, color, (0.1, 0.08))
    parts.box((-length / 2, -0.45, 0.6), (cab, 0.45, 0.95), "metal", DARK)
    if rng.random() < 0.7:
        parts.box(
            (-length / 2, -width / 2, 0.95), (cab - 0.15, width / 2, height), "paintwork", any_of(((0.85, 0.85, 0.83), (0.2, 0.35, 0.6), (0.8, 0.6, 0.15)), rng)
        )
    else:
        parts.box((-length / 2, -width / 2, 0.95), (cab - 0.15, width / 2, 1.1), "wood", (0.4, 0.3, 0.2))
        for side in (-1, 1):
            parts.box((-length / 2, side * width / 2 - 0.03, 1.1), (cab - 0.15, side * width / 2 + 0.03, 1.6), "metal", STEEL)
    _wheels(parts, (length / 2 - 1.1, -length / 2 + 1.1, -length / 2 + 2.2), width, 0.48, 0.3)
    _lights(parts, length, width, 0.75)
    return parts.built(gloss)


def bus(rng: np.random.Generator) -> Shape:
    """A city bus: a long body with a band of windows."""
    parts = Parts("bus")
    color = any_of(((0.8, 0.75, 0.2), (0.75, 0.15, 0.12), (0.85, 0.86, 0.88), (0.2, 0.4, 0.6)), rng)
    length, width = rng.uniform(10.5, 12.2), 2.5
    parts.box((-length / 2, -width / 2, 0.3), (length / 2, width / 2, 1.15), "paintwork", color)
    parts.box((-length / 2 + 0.04, -width / 2 + 0.03, 1.15), (length / 2 - 0.02, width / 2 - 0.03, 2.35), "glass", GLASS_COLOR, (0.005, 0.02))
    parts.box((-length / 2, -width / 2, 2.35), (length / 2, width / 2, 3.05), "paintwork", color, (0.02, 0.08))
    for x in np.arange(-length / 2 + 0.1, length / 2, 1.45):
        for side in (-1, 1):
            parts.box((x - 0.08, side * (width / 2 - 0.05), 1.1), (x + 0.08, side * (width / 2 + 0.005), 2.4), "paintwork", color)
    _wheels(parts, (length / 2 - 2.6, -length / 2 + 3.1), width, 0.48, 0.3)
    _lights(parts, length, width, 0.6)
    return parts.built(float(rng.uniform(0.8, 1.2)))


def trailer(rng: np.random.Generator) -> Shape:
    """A trailer parked without its lorry, or a small one for a car."""
    parts = Parts("trailer")
    small = rng.random() < 0.6
    length, width, height, bed = (2.8, 1.6, 1.3, 0.5) if small else (9.0, 2.45, 3.5, 1.1)
    color = any_of(((0.75, 0.76, 0.77), (0.3, 0.4, 0.5), (0.85, 0.84, 0.8)), rng)
    parts.box((-length / 2, -width / 2, bed), (length / 2, width / 2, height), "metal", color)
    parts.rod((length / 2, 0, bed), (length / 2 + 1.0, 0, 0.45), 0.06, "metal", DARK)
    parts.rod((length / 2 + 0.8, 0, 0.45), (length / 2 + 0.8, 0, 0), 0.05, "metal", DARK)
    _wheels(parts, (-0.3,) if small else (-length / 2 + 1.2, -length / 2 + 2.4), width, 0.3 if small else 0.5)
    return parts.built(float(rng.uniform(0.7, 1.2)))


def digger(rng: np.random.Generator) -> Shape:
    """A construction vehicle: an excavator on tracks with boom, stick and bucket."""
    parts = Parts("construction-vehicle")
    color = any_of(((0.85, 0.62, 0.1), (0.85, 0.45, 0.1)), rng)
    for side in (-1, 1):
        parts.box((-1.5, side * 1.05 - 0.25, 0.0), (1.5, side * 1.05 + 0.25, 0.75), "rubber", DARK, (0.15, 0.0))
    parts.box((-1.5, -1.2, 0.85), (1.0, 1.2, 1.75), "paintwork", color, (0.05, 0.05))
    parts.box((0.1, 0.25, 1.75), (1.1, 1.15, 2.75), "glass", GLASS_COLOR, (0.1, 0.1))
    parts.box((0.1, 0.25, 2.7), (1.0, 1.15, 2.8), "paintwork", color)
    reach = rng.uniform(2.6, 3.6)
    elbow, tip = (0.9 + reach * 0.7, -0.2, 1.6 + reach * 0.6), (1.2 + reach * 1.2, -0.2, 1.1)
    parts.rod((0.9, -0.2, 1.5), elbow, 0.2, "paintwork", color, 0.3)
    parts.rod(elbow, tip, 0.17, "paintwork", color, 0.3)
    parts.box((tip[0] - 0.45, -0.65, 0.35), (tip[0] + 0.35, 0.3, 1.15), "metal", STEEL, (0.4, 0.0))
    return parts.built(float(rng.uniform(0.8, 1.2)))


def tractor(rng: np.random.Generator) -> Shape:
    """Another vehicle: a small tractor or a delivery cart."""
    parts = Parts("other-vehicle")
    color = any_of(((0.15, 0.4, 0.2), (0.7, 0.15, 0.1), (0.2, 0.3, 0.6)), rng)
    parts.box((0.2, -0.4, 0.75), (1.9, 0.4, 1.4), "paintwork", color, (0.05, 0.1))
    parts.box((-1.3, -0.7, 0.9), (0.3, 0.7, 2.3), "glass", GLASS_COLOR, (0.1, 0.1))
    parts.box((-1.3, -0.75, 2.25), (0.35, 0.75, 2.42), "paintwork", color)
    parts.box((-1.4, -0.75, 0.6), (0.5, 0.75, 1.0), "paintwork", color)
    _wheels(parts, (-0.8,), 2.0, 0.75, 0.42)
    _wheels(parts, (1.5,), 1.8, 0.45, 0.3)
    return parts.built(float(rng.uniform(0.7, 1.2)))


def _cycle(parts: Parts, rng: np.random.Generator, color: Color) -> None:
    """A bicycle: two hoops, a frame of bars, saddle and handlebar."""
    radius, axle = 0.34, 0.53
    for x in (-axle, axle):
        parts.wheel(x, 0.0, radius, 0.05, inner=0.86)
        parts.add(HOOP, (x, 0, radius), (0.05, 0.05, 0.05), "metal", STEEL, (0.3, 0.0), (90.0, 0.0, 0.0))
        for angle in rng.uniform(0, np.pi) + np.arange(3) * np.pi / 3:
            reach = radius * 0.9 * np.array([np.cos(angle), 0, np.sin(angle)])
            parts.rod((x - reach[0], 0, radius - reach[2]), (x + reach[0], 0, radius + reach[2]), 0.006, "metal", STEEL)
    pedal, saddle, head = (-0.08, 0, 0.28), (-0.22, 0, 0.85), (0.38, 0, 0.86)
    for start, end in ((pedal, saddle), (pedal, head), (saddle, head), (saddle, (-axle, 0, radius)), (pedal, (-axle, 0, radius)), (head, (axle, 0, radius))):
        parts.rod(start, end, 0.022, "metal", color)
    parts.rod(head, (0.36, 0, 1.02), 0.02, "metal", color)
    parts.rod((0.36, -0.3, 1.02), (0.36, 0.3, 1.02), 0.022, "rubber", DARK)
    parts.add(BALL, (-0.23, 0, 0.9), (0.14, 0.08, 0.05), "rubber", DARK)
    parts.box((-0.75, -0.07, 0.72), (-0.35, 0.07, 0.75), "metal", STEEL)


def _motorcycle(parts: Parts, color: Color) -> None:
    """A motorcycle: thick tyres, engine, tank, saddle, fork and handlebar."""
    for x in (-0.7, 0.7):
        parts.wheel(x, 0.0, 0.32, 0.14, inner=0.55)
        parts.add(HOOP, (x, 0, 0.32), (0.14, 0.14, 0.06), "metal", STEEL, (0.3, 0.0), (90.0, 0.0, 0.0))
    parts.box((-0.35, -0.17, 0.2), (0.35, 0.17, 0.62), "metal", DARK, (0.1, 0.1))
    parts.add(BALL, (0.15, 0, 0.85), (0.36, 0.17, 0.16), "paintwork", color)
    parts.box((-0.85, -0.14, 0.7), (-0.05, 0.14, 0.84), "rubber", DARK, (0.1, 0.2))
    for side in (-1, 1):
        parts.rod((0.7, side * 0.09, 0.32), (0.5, side * 0.09, 1.0), 0.03, "metal", STEEL)
    parts.rod((0.45, -0.36, 1.06), (0.45, 0.36, 1.06), 0.02, "rubber", DARK)
    parts.add(BALL, (0.62, 0, 0.88), (0.1, 0.1, 0.1), "mirror", (0.8, 0.8, 0.75))
    parts.rod((-0.2, -0.2, 0.3), (-0.95, -0.2, 0.38), 0.05, "metal", STEEL)


def _rider(parts: Parts, rng: np.random.Generator, saddle: float, lean: float) -> None:
    """A person who sits at x = -0.2 above the saddle, leans forward, with hands and feet where a cycle has them."""
    cloth, trousers = any_of(CLOTHES, rng), any_of(CLOTHES, rng)
    shoulder = (-0.2 + lean, 0.0, saddle + 0.52)
    parts.rod((-0.2, 0, saddle + 0.02), shoulder, 0.17, "cloth", cloth, 0.1)
    parts.add(BALL, (shoulder[0], 0, shoulder[2] - 0.02), (0.14, 0.23, 0.12), "cloth", cloth)
    parts.add(BALL, (shoulder[0] + 0.08, 0, shoulder[2] + 0.24), (0.11, 0.09, 0.14), "skin", (0.75, 0.56, 0.45))
    for side, foot in ((-1, 0.15), (1, 0.42)):
        parts.rod((-0.2, side * 0.1, saddle), (0.2, side * 0.13, saddle - 0.15 + 0.2 * foot), 0.085, "cloth", trousers, 0.2)
        parts.rod((0.2, side * 0.13, saddle - 0.15 + 0.2 * foot), (0.0, side * 0.13, foot), 0.06, "cloth", trousers, 0.2)
        parts.rod((shoulder[0], side * 0.2, shoulder[2]), (0.36, side * 0.27, saddle + 0.14), 0.05, "cloth", cloth)


def bicycle(rng: np.random.Generator) -> Shape:
    """A parked bicycle."""
    parts = Parts("bicycle")
    _cycle(parts, rng, any_of(CAR_COLORS, rng))
    return parts.built()


def bicyclist(rng: np.random.Generator) -> Shape:
    """A bicycle with its rider."""
    parts = Parts("bicyclist")
    _cycle(parts, rng, any_of(CAR_COLORS, rng))
    _rider(parts, rng, 0.92, 0.22)
    return parts.built()


def motorcycle(rng: np.random.Generator) -> Shape:
    """A parked motorcycle."""
    parts = Parts("motorcycle")
    _motorcycle(parts, any_of(CAR_COLORS, rng))
    return parts.built()


def motorcyclist(rng: np.random.Generator) -> Shape:
    """A motorcycle with its rider."""
    parts = Parts("motorcyclist")
    _motorcycle(parts, any_of(CAR_COLORS, rng))
    _rider(parts, rng, 0.84, 0.12)
    return parts.built()


def person(rng: np.random.Generator) -> Shape:
    """A person who stands or is in the middle of a step: legs, torso, arms, head."""
    parts = Parts("person")
    size, stride = rng.uniform(0.88, 1.08), float(rng.uniform(0.05, 0.32))
    cloth, trousers = any_of(CLOTHES, rng), any_of(CLOTHES, rng)
    for side in (-1, 1):
        parts.rod((side * stride, side * 0.1, 0.0), (0, side * 0.09, 0.85 * size), 0.065, "cloth", trousers, -0.35)
        parts.box((side * stride - 0.08, side * 0.1 - 0.05, 0.0), (side * stride + 0.18, side * 0.1 + 0.05, 0.08), "rubber", DARK)
        parts.rod((-side * stride * 0.7, side * 0.27, 0.8 * size), (0, side * 0.22, 1.4 * size), 0.045, "cloth", cloth)
        parts.add(BALL, (-side * stride * 0.7, side * 0.27, 0.76 * size), (0.05, 0.04, 0.07), "skin", (0.75, 0.56, 0.45))
    parts.add(BALL, (0, 0, 0.9 * size), (0.15, 0.19, 0.16), "cloth", trousers)
    parts.rod((0, 0, 0.88 * size), (0, 0, 1.42 * size), 0.16, "cloth", cloth, -0.15)
    parts.add(BALL, (0, 0, 1.4 * size), (0.13, 0.23, 0.1), "cloth", cloth)
    parts.rod((0, 0, 1.42 * size), (0.01, 0, 1.55 * size), 0.06, "skin", (0.75, 0.56, 0.45))
    parts.add(BALL, (0.02, 0, 1.63 * size), (0.1, 0.08, 0.13), "skin", (0.75, 0.56, 0.45))
    return parts.built()
