"""Who computes a heavy step: NumPy, unless a device was announced, the work is large, and it fits."""

from __future__ import annotations

import os

import numpy as np
import pytest

from al3d import arrays
from al3d.arrays import LEAST, computing_with, elsewhere


class Device:
    """An implementation that only has room."""

    def room(self):
        return 1000


@pytest.mark.parametrize("kind", LEAST)
def test_small_work_stays(kind):
    device, sent = Device(), np.zeros(10)
    assert elsewhere(kind, LEAST[kind], sent) is None
    with computing_with(device):
        assert elsewhere(kind, LEAST[kind], sent) is device
        assert elsewhere(kind, LEAST[kind] - 1, sent) is None
        with computing_with(device, any_size=True):
            assert elsewhere(kind, 1, sent) is device
            assert elsewhere(kind, 0, sent) is None
        with computing_with(None):
            assert elsewhere(kind, LEAST[kind], sent) is None
        assert elsewhere(kind, LEAST[kind], sent) is device
    assert elsewhere(kind, LEAST[kind], sent) is None


def test_what_does_not_fit_stays():
    with computing_with(Device()):
        assert elsewhere("keys", LEAST["keys"], np.zeros(600), np.zeros(400)) is not None
        assert elsewhere("keys", LEAST["keys"], np.zeros(600), np.zeros(401)) is None


def test_other_processes_compute_in_numpy(monkeypatch):
    with computing_with(Device(), any_size=True):
        process = os.getpid()
        monkeypatch.setattr(arrays.os, "getpid", lambda: process + 1)
        assert elsewhere("keys", 1, np.zeros(1)) is None


def test_an_error_ends_the_context():
    with pytest.raises(KeyError), computing_with(Device(), any_size=True):
        raise KeyError
    assert elsewhere("keys", 1, np.zeros(1)) is None
