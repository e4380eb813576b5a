"""Which frames a frame is compared with: those around it in its drive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def windows(drives: Sequence[str], context: int) -> list[range]:
    """For every scene the contiguous scenes around it, itself included: `2 * context + 1` of its own drive.

    `drives[i]` names the drive of scene i; scenes of a drive follow each other in the order of their frames. At an end of a drive the
    window reaches further to the other side. With `context` 0 every window is the scene alone.
    Raises: ValueError when a drive is shorter than a window, or occurs in several places.
    """
    if context == 0 or not drives:
        return [range(index, index + 1) for index in range(len(drives))]
    width = 2 * context + 1
    starts = [0, *(index for index in range(1, len(drives)) if drives[index] != drives[index - 1])]
    result: list[range] = []
    seen: set[str] = set()
    for start, end in zip(starts, [*starts[1:], len(drives)], strict=True):
        if drives[start] in seen:
            raise ValueError(
                f"the frames of drive {drives[start]!r} do not follow each other in the list of scenes: rename the scenes so that they sort by drive"
            )
        seen.add(drives[start])
        if end - start < width:
            raise ValueError(
                f"drive {drives[start]!r} has {end - start} frames in the pool, but this score compares every frame with {2 * context} others: "
                f"it needs at least {width}; lower score.frames, or leave short drives out"
            )
        lows = np.clip(np.arange(start, end) - context, start, end - width)
        result += [range(low, low + width) for low in lows.tolist()]
    return result
