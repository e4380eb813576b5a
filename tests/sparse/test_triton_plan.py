"""The plan of the Triton engine against naive counts, and its table of block sizes. None of it needs Triton."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from al3d.rng import generator
from al3d.sparse import Geometry, KernelMap
from al3d.sparse.triton_plan import BLOCK, PART_COST, RUN, UNIT, PairLists, Plan, backward_plan, forward_plan, make_plan, pair_lists, prepare_plans, row_order
from al3d.sparse.triton_tuning import Choices, Config, Shape, candidates, choices_of, power

from .test_engines import two_million


def random_table(offsets: int, rows: int, density: float, seed: int) -> Tensor:
    """A neighbour table i32[K,V] with few kinds of rows, as surfaces have."""
    draw = generator("triton plan", offsets, rows, seed)
    kinds = draw.random((5, offsets)) < density
    present = torch.from_numpy(kinds[draw.integers(0, 5, rows)].T.copy())
    return torch.where(present, torch.from_numpy(draw.integers(0, max(rows, 1), (offsets, rows)).astype("int32")), -1).int()


def naive_offsets(source: Tensor, rows: int) -> list[list[int]]:
    """The offsets that some row of each block has, row by row."""
    columns = source.t().tolist()
    blocks = [columns[start : start + rows] for start in range(0, len(columns), rows)]
    return [[k for k in range(len(source)) if any(row[k] >= 0 for row in block)] for block in blocks]


def room(voxels: int = 14) -> Geometry:
    """The walls and the floor of a box, and a slope in it."""
    x, y, z = torch.meshgrid(*(torch.arange(voxels),) * 3, indexing="ij")
    surface = (z == 0) | (x == 0) | (y == voxels - 1) | ((x + z == voxels) & (y % 3 < 2))
    return Geometry(torch.nn.functional.pad(surface.nonzero(), (1, 0)).int())


TABLES = st.tuples(st.sampled_from([1, 8, 27, 40]), st.integers(0, 300), st.sampled_from([0.0, 0.2, 0.7, 1.0]), st.integers(0, 3))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(case=TABLES, parts=st.sampled_from([None, 2, 3]), ordered=st.booleans())
def test_plan_covers_the_table_and_counts_its_work(case: tuple[int, int, float, int], parts: int | None, ordered: bool) -> None:
    table = random_table(*case)
    plan = make_plan(table, parts, ordered)
    assert [part.first for part in plan.parts] == [sum(len(part.source) for part in plan.parts[:i]) for i in range(len(plan.parts))]
    work = 0
    for part in plan.parts:
        rows = table.shape[1]
        assert len(part.order) % BLOCK == 0 and len(part.order) - rows < BLOCK
        assert sorted(part.order[:rows].tolist()) == list(range(rows)) and bool((part.order[rows:] == -1).all())
        assert torch.equal(part.source[:, :rows], table[part.first : part.first + len(part.source), part.order[:rows].long()])
        assert bool((part.source[:, rows:] == -1).all())
        for size in (UNIT, 64, BLOCK):
            offsets, counts = part.blocks(size)
            found = [some[:count] for some, count in zip(offsets.tolist(), counts.tolist(), strict=True)]
            assert found == naive_offsets(part.source, size)
        work += BLOCK * sum(map(len, naive_offsets(part.source, BLOCK)))
    assert (plan.work, plan.pairs) == (work, int((table >= 0).sum()))


def test_rows_with_the_same_offsets_are_neighbours() -> None:
    present = random_table(27, 1000, 0.4, 0) >= 0
    ordered = present[:, row_order(present)].t().tolist()
    changes = sum(a != b for a, b in zip(ordered, ordered[1:], strict=False))
    assert changes == len({tuple(row) for row in ordered}) - 1


def test_order_follows_a_gray_code() -> None:
    """With every pattern of four equally frequent offsets once, neighbours differ in one offset."""
    present = torch.tensor([[bool(pattern >> bit & 1) for pattern in range(16)] for bit in range(4)])
    ordered = present[:, row_order(present)]
    assert (ordered[:, 1:] != ordered[:, :-1]).sum(dim=0).tolist() == [1] * 15


def test_sorting_and_parts_save_work_and_the_choice_weighs_them() -> None:
    table = room().neighbors(1).table.t().contiguous()
    unsorted, *works = (make_plan(table, parts, ordered).work for parts, ordered in ((1, False), (1, True), (2, True), (3, True)))
    assert unsorted > works[0] > works[1] > works[2] >= int((table >= 0).sum())
    chosen = make_plan(table)
    costs = [work * (1 + PART_COST * i) for i, work in enumerate(works)]
    assert chosen.work == works[costs.index(min(costs))] and len(chosen.parts) == costs.index(min(costs)) + 1


def test_many_offsets_need_parts() -> None:
    table = random_table(125, 200, 0.3, 0)
    assert len(make_plan(table).parts) >= 5
    with pytest.raises(ValueError, match="take 5 parts"):
        make_plan(table, 4)


def test_both_directions_are_kept_with_the_map() -> None:
    geometry = room()
    same, down = geometry.neighbors(1), geometry.down(1)
    assert forward_plan(same) is forward_plan(same) is backward_plan(same)
    assert forward_plan(down).rows == down.rows_out and backward_plan(down).rows == down.rows_in
    assert backward_plan(down) is backward_plan(down) and backward_plan(down).pairs == forward_plan(down).pairs == down.rows_in
    fresh = room().down(1)
    with torch.no_grad():
        prepare_plans(fresh)
    assert not any(isinstance(kept, PairLists) for kept in fresh.cache.values())
    prepare_plans(fresh)
    assert sum(isinstance(kept, (Plan, PairLists)) for kept in fresh.cache.values()) == 3


@settings(max_examples=25, deadline=None, derandomize=True)
@given(counts=st.lists(st.integers(0, 3 * RUN), min_size=1, max_size=5), about=st.integers(1, 12))
def test_runs_cover_every_pair_once_in_order(counts: list[int], about: int) -> None:
    rows = [torch.arange(count) for count in counts]
    lists = pair_lists(KernelMap(tuple(rows), tuple(rows), 3 * RUN, 3 * RUN))
    edges, firsts, number = lists.runs(about)
    assert number == len(edges) <= about + len(counts)
    ends = firsts.tolist()
    for k, count in enumerate(counts):
        inside = [pair for low, high in edges[ends[k] : ends[k + 1]].tolist() for pair in range(low, high)]
        assert inside == list(range(sum(counts[:k]), sum(counts[:k]) + count))
    assert ends[0] == 0 and ends[-1] == number


@pytest.mark.slow
def test_two_million_voxels_are_planned() -> None:
    """Every row once in every part, its neighbours beside it, and no work left out or counted twice."""
    pairs = Geometry(two_million()).neighbors(1)
    plan, table = forward_plan(pairs), pairs.table
    assert plan.rows == 1 << 21 and plan.pairs == int((table >= 0).sum()) == sum(pair_lists(pairs).counts)
    work = 0
    for part in plan.parts:
        order = part.order.long()
        assert len(order) == 1 << 21 and torch.equal(order.sort().values, torch.arange(1 << 21))
        here = table[:, part.first : part.first + len(part.source)]
        assert torch.equal(part.source, here[order].t())
        counts = (part.source >= 0).view(len(part.source), -1, BLOCK).any(dim=2).sum(dim=0)
        assert torch.equal(part.blocks(BLOCK)[1], counts.int())
        work += BLOCK * int(counts.sum())
    assert plan.work == work and 1 <= plan.ratio < 1.5


def test_pairs_hold_the_center() -> None:
    pairs = room(5).neighbors(1)
    lists = pair_lists(pairs)
    start = sum(lists.counts[:13])
    assert lists.counts[13] == pairs.rows_in
    assert lists.source[start : start + pairs.rows_in].tolist() == lists.target[start : start + pairs.rows_in].tolist() == list(range(pairs.rows_in))


SHAPES = [
    Shape(kernel, *kind, 27, inputs, outputs)
    for kernel in ("products", "outer")
    for kind in (("float32", "tf32"), ("float32", "ieee"), ("bfloat16", "ieee"))
    for inputs, outputs in ((1, 1), (3, 13), (96, 96), (512, 256))
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.bucket)
def test_block_sizes_fit_the_kernels(shape: Shape) -> None:
    for config in candidates(shape):
        assert config.shared(shape.depth, shape.size) <= 99 * 1024
        assert power(config.rows) == config.rows and power(config.columns) == config.columns
        assert shape.kernel == "outer" or (config.rows % UNIT == 0 and BLOCK % config.rows == 0)
    small = candidates(shape, 30 * 1024)
    assert small and all(config.shared(shape.depth, shape.size) <= 30 * 1024 for config in small)


def test_choice_is_measured_once_and_read_afterwards(tmp_path: Path) -> None:
    shape, file = Shape("products", "bfloat16", "ieee", 27, 64, 64), tmp_path / "gpu.json"
    options = candidates(shape)
    asked: list[Config] = []

    def measure(config: Config) -> float:
        asked.append(config)
        return float(options.index(config) != 2)

    choices = Choices(file)
    assert choices(shape, 99 * 1024, measure) == options[2] and asked == list(options)
    assert choices(shape, 99 * 1024, measure) == Choices(file)(shape, 99 * 1024, measure) == options[2] and len(asked) == len(options)
    # 40 and 64 channels share a choice, 65 do not
    assert Choices(file)(Shape("products", "bfloat16", "ieee", 27, 40, 64), 99 * 1024, None) == options[2]
    assert Choices(file)(Shape("products", "bfloat16", "ieee", 27, 65, 64), 99 * 1024, None) == candidates(shape)[0]
    assert Choices(None)(shape, 99 * 1024, measure) == options[0] and len(asked) == len(options)


@pytest.mark.parametrize("kernel", ["products", "outer"])
def test_shapes_of_a_bucket_have_the_same_candidates(kernel: str) -> None:
    """Else two layers would take turns in measuring and overwriting their choice."""
    found: dict[str, set[tuple[int, tuple[Config, ...]]]] = {}
    for channels in range(1, 200):
        for shape in (Shape(kernel, "float32", "tf32", 27, channels, 48), Shape(kernel, "float32", "tf32", 27, 48, channels)):
            found.setdefault(shape.bucket, set()).add((shape.depth, candidates(shape)))
    assert all(len(options) == 1 for options in found.values())


def test_choices_of_a_strange_file(tmp_path: Path) -> None:
    shape, file = Shape("outer", "float32", "tf32", 8, 64, 64), tmp_path / "gpu.json"
    file.write_text(f'{{"{shape.bucket}": [7, 7, 1, 1]}}')
    assert Choices(file)(shape, 99 * 1024, None) == candidates(shape)[0]
    file.write_text("{")
    with pytest.raises(ValueError, match="gpu.json does not hold block sizes: delete it"):
        Choices(file)(shape, 99 * 1024, None)


def test_folder_of_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AL3D_TRITON_TUNE", raising=False)
    assert choices_of("NVIDIA H100", "3.7.1").file is None
    monkeypatch.setenv("AL3D_TRITON_TUNE", str(tmp_path))
    assert choices_of("NVIDIA H100", "3.7.1").file == tmp_path / "NVIDIA-H100-triton-3-7-1.json"
