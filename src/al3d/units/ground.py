"""Which points of a LiDAR scan are ground (Patchwork++)."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import numpy as np

from al3d.types import F32, Bool

#: The reflected-noise filter of Patchwork++ drops dark points below the sensor's view that are fainter than this fraction.
FAINT = 0.2
_STANDARD_OUTPUT = 1
_silence = Lock()


def ground_points(xyz: F32, intensity: F32 | None, sensor_height: float) -> Bool:
    """The ground points of one scan: xyz f32[N,3] in the frame of a level scanner -> bool[N].

    `intensity` f32[N] in 0..1, or None, which turns the filter for reflected noise off; `sensor_height` in metres above the ground. All
    else as Patchwork++ has it: points nearer than 2.7 m or farther than 80 m along the ground are never ground. A cloud that is not seen from
    its origin, such as a room, mostly has none. Every scan starts afresh, so that no scan depends on those before it. Within a
    scan the points are taken as they come; equal heights may then be decided by their order.
    Raises: ImportError when pypatchworkpp is missing.
    Source: Patchwork++ (Lee et al., IROS 2022), version 1.4.1, which keeps its thresholds from scan to scan unless it is made anew.
    """
    try:
        import pypatchworkpp
    except ImportError as error:
        raise ImportError("ground needs pypatchworkpp: install it with `pip install 'al3d[ground]'`") from error
    parameters = pypatchworkpp.Parameters()
    parameters.verbose = False
    parameters.sensor_height = sensor_height
    parameters.enable_RNR = intensity is not None
    # intensity_thr is not initialised by the library
    parameters.intensity_thr = parameters.RNR_intensity_thr = FAINT
    fourth = np.ones(len(xyz), np.float32) if intensity is None else intensity
    with _quiet():
        finder = pypatchworkpp.patchworkpp(parameters)
        finder.estimateGround(np.column_stack([xyz, fourth]))
    ground = np.zeros(len(xyz), np.bool_)
    ground[np.asarray(finder.getGroundIndices(), np.int64)] = True
    return ground


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what C++ code writes to standard output nowhere; Python's own output is written before and after."""
    with _silence:
        if sys.stdout is not None:
            sys.stdout.flush()
        library = ctypes.CDLL(None)
        kept = os.dup(_STANDARD_OUTPUT)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, _STANDARD_OUTPUT)
            yield
        finally:
            library.fflush(None)
            os.dup2(kept, _STANDARD_OUTPUT)
            os.close(kept)
            os.close(nowhere)
