"""A legend names every class beside its colour and leaves the picture as it was."""

from __future__ import annotations

import numpy as np

from al3d.report.legend import LINE, below, legend
from al3d.types import ClassTable


def table(count: int) -> ClassTable:
    return ClassTable(tuple(f"class number {index}" for index in range(count)), tuple((10 * index, 200, 30) for index in range(count)))


def places(image: np.ndarray, color: tuple[int, ...]) -> np.ndarray:
    return np.argwhere((image == np.array(color, np.uint8)).all(axis=2))


def test_every_class_has_a_swatch_of_its_colour_and_a_name_beside_it() -> None:
    classes = table(9)
    image = legend(classes, 400)
    assert image.dtype == np.uint8 and image.shape == (3 * LINE, 400, 3)  # three fit into a line
    corners = []
    for color in classes.colors:
        at = places(image, color)
        assert len(at) == 12 * 12
        top, left = at.min(axis=0)
        beside = image[top : top + 12, left + 14 : left + 90]
        assert (beside < 100).any(), "no name"
        corners.append((int(top), int(left)))
    assert corners == sorted(corners) and len({top for top, _ in corners}) == 3


def test_a_name_that_is_wider_than_the_legend_has_a_line_of_its_own() -> None:
    assert legend(table(2), 30).shape == (2 * LINE, 30, 3)


def test_a_picture_keeps_its_pixels() -> None:
    picture, added = np.full((4, 6, 3), 7, np.uint8), np.zeros((2, 9, 3), np.uint8)
    both = below(picture, added)
    assert both.shape == (6, 9, 3)
    assert (both[:4, :6] == 7).all() and (both[:4, 6:] == 255).all() and (both[4:] == 0).all()
