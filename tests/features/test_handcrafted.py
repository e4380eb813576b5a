"""Pictures as numbers: closed forms, naive twins, and what must not change them."""

import importlib
from itertools import product

import numpy as np
import pytest
from PIL import Image

from al3d.data.hashing import hash_of
from al3d.features.handcrafted import BACKGROUNDS, CHROMA, CIRCLE, DIRECTIONS, LIGHT, PATTERN, PATTERNS, SCALES, Handcrafted, _edges, _patterns
from al3d.rng import generator

ENCODER = Handcrafted()
#: The blocks of a whole picture and of a patch, in their order.
WHOLE = {
    "layout": 96,
    "light": LIGHT,
    "chroma": CHROMA**2,
    **{f"edges {scale}": 16 * DIRECTIONS for scale in SCALES},
    "patterns 1": PATTERNS,
    "patterns 2": PATTERNS,
}
PATCH = {"layout": 6, "light": LIGHT, "chroma": CHROMA**2, **{f"edges {scale}": DIRECTIONS for scale in SCALES}, "patterns 1": PATTERNS, "patterns 2": PATTERNS}


def blocks(row, sizes):
    assert len(row) == sum(sizes.values())
    return dict(zip(sizes, np.split(row, np.cumsum(list(sizes.values()))[:-1]), strict=True))


def photograph(key=0, height=224, width=224):
    """Smooth colours with some noise and a bright disc."""
    draw = generator("photograph", key)
    small = draw.integers(0, 256, (7, 7, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float64)
    row, column = np.mgrid[:height, :width]
    picture[np.hypot(row / height - 0.4, column / width - 0.6) < 0.15] += 90
    return np.clip(picture + draw.normal(size=picture.shape) * 3, 0, 255).astype(np.uint8)


def stripes(turned=False, period=16):
    line = np.where(np.arange(224) // (period // 2) % 2, 200, 50).astype(np.uint8)
    plane = np.broadcast_to(line, (224, 224))
    return np.ascontiguousarray(np.stack([plane.T if turned else plane] * 3, axis=2))


def test_every_block_of_counts_is_one_long():
    rows = ENCODER([photograph(0), photograph(1)])
    assert rows.shape == (2, sum(WHOLE.values())) and rows.dtype == np.float32
    for row in rows:
        for name, block in blocks(row, WHOLE).items():
            assert 0.1 < np.linalg.norm(block) < 1.5 if name == "layout" else np.linalg.norm(block) == pytest.approx(1, abs=1e-4), name


def test_one_colour_in_closed_form():
    red = blocks(ENCODER([np.full((224, 224, 3), [255, 0, 0], np.uint8)])[0], WHOLE)
    light = 0.299 * (LIGHT - 1)
    assert np.flatnonzero(red["light"]).tolist() == [4, 5] and red["light"][4] ** 2 == pytest.approx(1 - (light - 4), abs=1e-4)
    blue = (1 - np.sqrt(0.5)) / 2 * (CHROMA - 1)
    assert np.flatnonzero(red["chroma"]).tolist() == [7 * CHROMA + 1, 7 * CHROMA + 2] and red["chroma"][7 * CHROMA + 2] ** 2 == pytest.approx(
        blue - 1, abs=1e-4
    )
    assert all(np.abs(red[f"edges {scale}"]).max() == 0 for scale in SCALES)
    assert red["patterns 1"][PATTERN[0]] == pytest.approx(1), "nothing around is brighter"
    assert red["layout"].reshape(16, 6) == pytest.approx(np.tile([2 * (0.299 - 0.5), 0, 1, 0, -np.sqrt(0.5), 0], (16, 1)) / 4, abs=1e-4)


def test_stripes_have_one_direction():
    upright, lying = (blocks(ENCODER([stripes(turned)])[0], WHOLE) for turned in (False, True))
    for scale in SCALES[:2]:
        first = (upright[f"edges {scale}"].reshape(16, DIRECTIONS) ** 2).sum(axis=0)
        second = (lying[f"edges {scale}"].reshape(16, DIRECTIONS) ** 2).sum(axis=0)
        assert first == pytest.approx([1] + [0] * 8, abs=1e-4), "across upright stripes: 0 degrees"
        assert second == pytest.approx([0, 0, 0, 0, 0.5, 0.5, 0, 0, 0], abs=1e-4), "90 degrees lie between two centres"
    assert np.array_equal(upright["light"], lying["light"]) and not np.allclose(upright["patterns 1"], lying["patterns 1"])


def test_the_uniform_patterns():
    assert PATTERNS == 59 and len(set(PATTERN.tolist())) == 59 and (PATTERN == 58).sum() == 256 - 58
    assert PATTERN[0b00000000] == 0 and PATTERN[0b11111111] == 57 and PATTERN[0b01010101] == 58 and PATTERN[0b00011100] != 58
    assert len(set(CIRCLE)) == 8 and all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1 for a, b in zip(CIRCLE, CIRCLE[1:] + CIRCLE[:1], strict=True))


def test_edges_and_patterns_equal_their_naive_twins():
    draw = generator("twins")
    light, shown, field = draw.random((9, 11), dtype=np.float32), draw.random((9, 11)) < 0.9, draw.integers(0, 3, (9, 11))
    edges, patterns = np.zeros((3, DIRECTIONS)), np.zeros((3, PATTERNS))
    for row, column in product(range(1, 8), range(1, 10)):
        cross = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        if shown[row, column] and all(shown[place] for place in cross):
            down, right = float(light[cross[1]]) - float(light[cross[0]]), float(light[cross[3]]) - float(light[cross[2]])
            turn = np.degrees(np.arctan2(down, right)) % 180
            for centre in range(DIRECTIONS):
                away = abs(turn - 20 * centre)
                edges[field[row, column], centre] += np.hypot(down, right) * max(0.0, 1 - min(away, 180 - away) / 20)
        if shown[row - 1 : row + 2, column - 1 : column + 2].all():
            code = sum(int(light[row + y, column + x] > light[row, column] + 1 / 255) << bit for bit, (y, x) in enumerate(CIRCLE))
            patterns[field[row, column], PATTERN[code]] += 1
    assert np.allclose(_edges(light, shown, field, 3), edges, atol=1e-4)
    assert np.array_equal(_patterns(light, shown, field, 3), patterns)


@pytest.mark.parametrize(("height", "width"), [(112, 112), (448, 448), (600, 600)])
def test_the_size_of_a_picture_hardly_matters(height, width):
    """Colours and edges stay; texture at the finest size depends on the resolution and may not."""
    base = blocks(ENCODER([photograph()])[0], WHOLE)
    other = blocks(ENCODER([photograph(0, height, width)])[0], WHOLE)
    stranger = blocks(ENCODER([photograph(1)])[0], WHOLE)
    for name in ("layout", "light", "chroma", "edges 4"):
        assert np.linalg.norm(base[name] - other[name]) < 0.5 * np.linalg.norm(base[name] - stranger[name]), name


def test_proportions_are_kept():
    wide = np.concatenate([photograph(2)] * 2, axis=1)
    row = blocks(ENCODER([wide])[0], WHOLE)
    tall = blocks(ENCODER([np.ascontiguousarray(wide.transpose(1, 0, 2))])[0], WHOLE)
    assert np.allclose(row["light"], tall["light"], atol=0.02)
    assert Handcrafted(grid=1).patches(wide).shape == ENCODER.patches(wide).shape == (64, sum(PATCH.values()))


def test_background_does_not_count():
    """The same thing before all backgrounds gives the same row, and a larger frame of background the same colours."""
    thing = photograph(3)[:112, :112]
    rows = []
    for colour in BACKGROUNDS:
        picture = np.full((224, 224, 3), colour, np.uint8)
        picture[56:168, 56:168] = thing
        rows.append(ENCODER([picture])[0])
    assert np.array_equal(rows[0], rows[1]) and np.array_equal(rows[0], rows[2])
    plain = np.full((224, 224, 3), [246, 248, 249], np.uint8)
    plain[56:168, 56:168] = thing
    assert np.linalg.norm(ENCODER([plain])[0] - rows[0]) > 0.5, "almost the background is not the background"
    shown, alone = blocks(rows[0], WHOLE), blocks(ENCODER([np.tile(thing, (2, 2, 1))])[0], WHOLE)
    assert np.allclose(shown["light"], alone["light"], atol=1e-4) and np.allclose(shown["chroma"], alone["chroma"], atol=1e-4)


def test_a_picture_of_nothing_is_a_row_of_zeros():
    nothing = np.full((50, 80, 3), BACKGROUNDS[0], np.uint8)
    assert not ENCODER([nothing]).any() and ENCODER.patches(nothing).shape == (1, sum(PATCH.values())) and not ENCODER.patches(nothing).any()


def test_patches_are_the_fields_that_show_something():
    picture = np.full((224, 224, 3), BACKGROUNDS[2], np.uint8)
    picture[28:56, 84:112] = [255, 0, 0]
    picture[196:, :28] = [0, 0, 255]
    patches = ENCODER.patches(picture)
    first, second = (blocks(row, PATCH) for row in patches)
    assert len(patches) == 2
    assert first["light"].argmax() == round(0.299 * 15) and second["light"].argmax() == round(0.114 * 15), "row by row"
    quarters = Handcrafted(cells=2).patches(np.concatenate([np.full((112, 224, 3), 200, np.uint8), photograph(5, 112)]))
    assert len(quarters) == 4 and np.array_equal(quarters[0], quarters[1]) and not np.allclose(quarters[2], quarters[0], atol=0.3)


def test_rows_do_not_depend_on_the_other_pictures():
    pictures = [photograph(key) for key in range(3)]
    together = ENCODER(pictures)
    assert all(np.array_equal(ENCODER([picture])[0], row) for picture, row in zip(pictures, together, strict=True))


def test_alike_pictures_are_near():
    """Brighter, noisier and shifted copies are nearer to their picture than other pictures are."""
    draw = generator("alike")
    for key in range(4):
        picture = photograph(key)
        copies = [np.clip(picture * 1.1, 0, 255), np.clip(picture + draw.normal(size=picture.shape) * 4, 0, 255), np.roll(picture, 6, axis=1)]
        rows = ENCODER([picture, *(copy.astype(np.uint8) for copy in copies), *(photograph(other) for other in range(4, 8))])
        away = np.linalg.norm(rows - rows[0], axis=1)
        assert away[1:4].max() < away[4:].min()


def test_what_is_drawn_is_background_here_too():
    drawn = importlib.import_module("al3d.features.drawn")
    assert {drawn.BACKGROUND, drawn.NIGHT} <= set(BACKGROUNDS)


def test_options():
    assert len({hash_of(one) for one in (ENCODER, Handcrafted(size=160), Handcrafted(grid=2), Handcrafted(cells=4), Handcrafted(backgrounds=()))}) == 5
    assert Handcrafted.VERSION > 1 and ENCODER.parallel and ENCODER.fingerprint == "" and ENCODER.check() is None
    with pytest.raises(ValueError, match=r"size=32 pixels are too few for grid=4 and cells=8: at least 64"):
        Handcrafted(size=32)
    with pytest.raises(ValueError, match="grid=0"):
        Handcrafted(grid=0)
