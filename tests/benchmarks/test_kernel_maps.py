"""The benchmark of kernel maps: its reference order, against a count row by row."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from al3d.sparse.triton_plan import BLOCK

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "kernel_maps.py"


@pytest.mark.parametrize("parts", [1, 3])
def test_work_of_rows_sorted_by_the_value_of_their_mask(parts):
    draw = torch.Generator().manual_seed(parts)
    kinds = torch.rand(9, 27, generator=draw) < 0.3
    table = torch.where(kinds[torch.randint(0, 9, (500,), generator=draw)].t(), 0, -1)
    work = 0
    for here in torch.tensor_split(table >= 0, parts):
        rows = sorted(here.t().tolist(), key=lambda row: sum(bit << k for k, bit in enumerate(row)))
        work += sum(BLOCK * sum(map(any, zip(*rows[start : start + BLOCK], strict=True))) for start in range(0, len(rows), BLOCK))
    assert runpy.run_path(str(PATH))["work_by_value"](table, parts) == work


def test_scans_and_rooms_have_every_map():
    maps = runpy.run_path(str(PATH))["maps"](torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 2, 1]], dtype=torch.int32))
    found = {name: make(voxels()) for name, voxels, make in maps}
    assert list(found) == ["3x3x3 at 1", "3x3x3 at 2", "3x3x3 at 4", "2x2x2 down", "2x2x2 up"]
    assert [pairs.rows_out for pairs in found.values()] == [3, 2, 1, 2, 3]
