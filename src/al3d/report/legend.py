"""What the colours in a picture mean, as a picture: a swatch and a name per class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from al3d.types import U8, ClassTable

#: Pixels: the legend's width, a line's height, the side of a swatch, the distance between two entries.
WIDTH, LINE, SWATCH, GAP = 640, 22, 12, 16
PAPER, INK = (255, 255, 255), (25, 28, 36)


def legend(classes: ClassTable, width: int = WIDTH) -> U8:
    """The names of the classes with their colours, in as many lines as they need: u8[H,width,3]."""
    font = ImageFont.load_default(size=13)
    entries, x, y = [], GAP // 2, 0
    for name, color in zip(classes.names, classes.colors, strict=True):
        wide = SWATCH + 5 + round(font.getlength(name))
        if x + wide > width and x > GAP // 2:
            x, y = GAP // 2, y + LINE
        entries.append((x, y, name, color))
        x += wide + GAP
    image = Image.new("RGB", (width, y + LINE), PAPER)
    draw = ImageDraw.Draw(image)
    for x, y, name, color in entries:
        top = y + (LINE - SWATCH) // 2
        draw.rectangle((x, top, x + SWATCH - 1, top + SWATCH - 1), fill=tuple(color), outline=None)
        draw.text((x + SWATCH + 5, y + LINE // 2), name, fill=INK, font=font, anchor="lm")
    return np.asarray(image)


def below(picture: U8, added: U8) -> U8:
    """Two pictures u8[H,W,3], one below the other; the narrower one has paper to its right."""
    width = max(picture.shape[1], added.shape[1])
    wide = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=PAPER[0]) for part in (picture, added)]
    return np.vstack(wide)
