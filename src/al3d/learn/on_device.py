"""The heavy steps of a harvest and a choice in torch, on the device where the network is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from al3d.arrays import computing_with
from al3d.types import F32, F64, I32, I64, Array

COMPUTE = ("auto", "numpy", "torch")
#: Numbers of one temporary array.
BLOCK = 2**25
#: Rows of a group that are added one after the other; longer groups are sums of such sums, so that no thread adds thousands.
RUN = 256
#: A product of rows of D numbers is off by less than this times (D + 8) times the sum of both squared lengths.
ROUNDING = 8 * float(np.finfo(np.float32).eps)


def check_compute(compute: str) -> None:
    """Raises: ValueError for an unknown `trainer.compute`."""
    if compute not in COMPUTE:
        raise ValueError(f"trainer.compute={compute!r} is not one of {', '.join(COMPUTE)}")


def device_of(accelerator: str) -> torch.device:
    """The kind of device that `trainer.accelerator` gets here."""
    return torch.device("cuda" if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu")


def check_devices(accelerator: str, devices: int | str | Sequence[int]) -> None:
    """Refuse more devices than this machine has; processes on a CPU are not counted. Raises: ValueError for them, and for a GPU where there is none."""
    there = torch.cuda.device_count()
    if accelerator in ("gpu", "cuda") and there == 0:
        raise ValueError(f"trainer.accelerator={accelerator}: PyTorch finds no GPU here (al3d doctor says what it finds); set trainer.accelerator=cpu or auto")
    if device_of(accelerator).type == "cuda" and least_devices(devices) > there:
        raise ValueError(
            f"trainer.devices={devices}, but PyTorch finds {there} GPU{'s' if there > 1 else ''} here: set trainer.devices={there}, or train on the CPU with "
            "trainer.accelerator=cpu"
        )


def least_devices(devices: int | str | Sequence[int]) -> int:
    """How many devices there must be for `trainer.devices`: a number (-1, "auto": all), or the indices of some, in a list or with commas between them."""
    if isinstance(devices, int):
        return max(devices, 1)
    if isinstance(devices, str) and "," not in devices:
        return int(devices) if devices.isdecimal() else 1
    indices = devices.split(",") if isinstance(devices, str) else devices
    return 1 + max((int(index) for index in indices if str(index).strip()), default=0)


@contextmanager
def computing(compute: str, device: torch.device) -> Iterator[None]:
    """Within this context heavy steps are computed as `trainer.compute` says, for a network on `device`.

    "numpy": all in NumPy; "torch": all on `device`, whatever their size; "auto": large ones on `device` if it is a CUDA (or ROCm) device.
    Raises: ValueError for anything else, and for "torch" on a device without double precision.
    """
    check_compute(compute)
    if compute == "numpy" or (compute == "auto" and device.type != "cuda"):
        with computing_with(None):
            yield
    else:
        with computing_on(device, any_size=compute == "torch"):
            yield


@contextmanager
def computing_on(device: torch.device, any_size: bool = False) -> Iterator[None]:
    """Within this context large steps, or with `any_size` all, are computed on `device`. Raises: ValueError for one without double precision."""
    if device.type == "mps":
        raise ValueError("trainer.compute=torch needs double precision, which mps does not have: set trainer.compute=numpy")
    with computing_with(OnDevice(device), any_size):
        yield


@dataclass(frozen=True)
class OnDevice:
    """`al3d.arrays.Elsewhere` in torch.

    Distances that are compared come from differences, added in an order that depends on the number of columns alone, so that equal rows have
    equal distances and a GPU gives the CPU's bits; products of matrices only say which pairs may be near. Groups are added in the order
    of their rows after a stable sort. Nothing is added atomically, so every run gives the same bits.
    """

    device: torch.device

    def room(self) -> int:
        """A third of the numbers in single precision that the free memory holds; no limit on the CPU, where the arrays are already."""
        if self.device.type != "cuda":
            return 2**62
        free, _ = torch.cuda.mem_get_info(self.device)
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return (free + unused) // 12

    def covering(self, rows: F32, taken: I64) -> _Covering:
        """Distances to taken rows, of which `taken` are the first."""
        return _Covering(self._sent(rows), self._sent(taken))

    def balls(self, rows: F32) -> _Balls:
        """Distances between all pairs of rows."""
        return _Balls(self._sent(rows))

    def squared_distance(self, rows: F32, centre: F32) -> F32:
        """The squared distance of every row to one centre."""
        there, middle = self._sent(rows), self._sent(centre)
        return _back(torch.cat([_squares(part - middle) for part in _parts(there, there.shape[1])]))

    def mean_of_nearest(self, rows: F32, count: int) -> F64:
        """The mean distance of every row to the `count` others nearest to it.

        Products in double precision find them; their distances are computed anew and added from the least, so that equal rows get equal means.
        """
        there = self._sent(rows)
        exact = there.double() - there.double().mean(dim=0)
        length = exact.square().sum(dim=1)
        result = []
        for start, part in _numbered_parts(exact, max(len(exact), count * exact.shape[1])):
            about = torch.addmm(length, part, exact.T, alpha=-2).add_(length[start : start + len(part), None])
            own = torch.arange(len(part), device=self.device)
            about[own, own + start] = torch.inf
            near = about.topk(count, dim=1, largest=False).indices
            gaps = there[near] - there[start : start + len(part), None]
            result.append(_summed(_squares(gaps).sort(dim=1).values.double().sqrt()) / count)
        return _back(torch.cat(result))

    def summed(self, rows: F32, centres: F32) -> F64:
        """The sum of the distances of every row to all centres, from products; equal rows are computed once."""
        there, others = self._sent(rows), self._sent(centres)
        first, place = _first_equal(there)
        middle = others.double().mean(dim=0).float()
        others = others - middle
        result = []
        for part in _parts(first, len(others)):
            moved = there[part] - middle
            result.append(_about(moved, others).clamp_(min=0).sqrt_().sum(dim=1, dtype=torch.float64))
        return _back(torch.cat(result)[place])

    def products(self, rows: F64) -> Callable[[I64 | slice], F64]:
        """The products of some rows with all rows."""
        there = self._sent(rows)

        def of(some: I64 | slice) -> F64:
            chosen = there[some] if isinstance(some, slice) else there[self._sent(some)]
            return _back(chosen @ there.T)

        return of

    def more_distinct(self, rows: F32, than: int) -> bool:
        """Whether surely more than so many rows are distinct: they are where their hashes are."""
        return len(torch.unique(_hashes(self._sent(rows)))) > than

    def lloyd(self, rows: F32, start: F32, steps: int, tolerance: float) -> tuple[I32, float]:
        """k-means from `start`: scikit-learn's steps, its ways to stop and to refill empty clusters.

        Source: scikit-learn's KMeans (algorithm lloyd); sums are in double precision here, and of equally near centres the first is taken.
        """
        there = self._sent(rows)
        middle = there.mean(dim=0, dtype=torch.float64)
        least_move = tolerance * float(there.double().var(dim=0, correction=0).mean())
        there = there - middle.float()
        centre = self._sent(start) - middle.float()
        label, settled = torch.full((len(there),), -1, device=self.device), False
        for _ in range(steps):
            before, label = label, _owners(there, centre)
            moved = _moved_centres(there, label, centre)
            shift = float((moved - centre).double().square().sum())
            centre, settled = moved, bool(torch.equal(before, label))
            if settled or shift <= least_move:
                break
        if not settled:
            label = _owners(there, centre)
        inertia = sum(float(_squares(part - centre[label[begin : begin + len(part)]]).sum(dtype=torch.float64)) for begin, part in _numbered_parts(there))
        return _back(label).astype(np.int32), inertia

    def from_centre(self, rows: F32, label: I32) -> F64:
        """The squared distance of every row to the mean row of its label."""
        there, group = self._sent(rows), self._sent(label.astype(np.int64))
        count = int(label.max()) + 1
        members = torch.bincount(group, minlength=count).clamp_(min=1)
        centre = _group_sums(there, group, count) / members[:, None]
        apart = [_summed((part.double() - centre[group[start : start + len(part)]]).square_()) for start, part in _numbered_parts(there)]
        return _back(torch.cat(apart))

    def group_sums(self, values: F64, group: I64, count: int) -> F64:
        """The sums of the rows of each group."""
        return _back(_group_sums(self._sent(values), self._sent(group), count))

    def picked_sums(self, values: F32, weight: F32 | None, group: I64, row: I64, count: int) -> F32:
        """The sums of picked rows, or of their outer products with a weight, for each group; a row that a group picks again counts so often."""
        there, factor = self._sent(values), None if weight is None else self._sent(weight)
        pair, often = torch.unique(self._sent(group) * len(there) + self._sent(row), return_counts=True)
        of_group, of_row = pair // len(there), pair % len(there)
        lengths = torch.bincount(of_group, minlength=count)
        rows = there[of_row].double() * often[:, None]
        if factor is None:
            return _back(_run_sums(rows, lengths).float())
        sums = [_run_sums(rows * column[of_row, None].double(), lengths).float() for column in factor.T]
        return _back(torch.cat(sums, dim=1))

    def voxel_keys(self, xyz: F32, low: F32, size: np.float32) -> tuple[I64, I64]:
        """The distinct keys of the points' voxels and each point's place among them: the CPU's bits."""
        # By an array, not by a number: torch multiplies by one over a number, which rounds otherwise.
        cell = ((self._sent(xyz) - self._sent(low)) / torch.full((3,), float(size), device=self.device)).round_().long()
        keys, place = torch.unique((cell[:, 0] << 32) | (cell[:, 1] << 16) | cell[:, 2], return_inverse=True)
        return _back(keys), _back(place)

    def _sent(self, array: Array) -> Tensor:
        return torch.tensor(array, device=self.device) if not array.flags.writeable else torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


class _Covering:
    """`al3d.arrays.Covering`: one product says which rows a new one could be nearer to, and only their distances are computed."""

    def __init__(self, rows: Tensor, taken: Tensor) -> None:
        self.rows = rows
        self.length = torch.cat([_squares(part.clone()) for part in _parts(rows, rows.shape[1])])
        self.slack = ROUNDING * (rows.shape[1] + 8) * 2 * float(self.length.max())
        self.distance = torch.full((len(rows),), torch.inf, device=rows.device)
        if len(taken):
            centre = rows[taken]
            owner = _owners(rows, centre)
            self.distance = torch.cat([_squares(part - centre[owner[start : start + len(part)]]) for start, part in _numbered_parts(rows)])

    def take(self, row: int) -> None:
        centre = self.rows[row]
        with _full_precision():
            least = (self.rows @ centre).mul_(-2).add_(self.length).add_(self.length[row] - self.slack)
        near = ((least < self.distance) & (self.distance > 0)).nonzero().flatten()
        for part in _parts(near, self.rows.shape[1]):
            self.distance[part] = torch.minimum(self.distance[part], _squares(self.rows[part] - centre))

    def close(self, rows: Array | int, to: float) -> None:
        self.distance[torch.from_numpy(np.atleast_1d(rows)).to(self.distance.device)] = to

    def farthest(self) -> tuple[int, float]:
        row = self.distance.argmax()
        number, distance = torch.stack([row.double(), self.distance[row].double()]).tolist()
        return int(number), distance

    def sums(self, block: int) -> F64:
        padded = torch.nn.functional.pad(self.distance.double(), (0, -len(self.distance) % block))
        return _back(_summed(padded.view(-1, block)))

    def part(self, start: int, stop: int) -> F32:
        return _back(self.distance[start:stop])


class _Balls:
    """`al3d.arrays.Balls`, as exact as `al3d.acquire.cover.Pairs`: pairs that products leave in doubt are computed anew."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows
        self.moved = rows - rows.double().mean(dim=0).float()
        self.slack = ROUNDING * (rows.shape[1] + 8) * 2 * float(self.moved.square().sum(dim=1).max())

    def __len__(self) -> int:
        return len(self.rows)

    def within(self, members: I64, squared: float) -> I64:
        chosen = torch.from_numpy(members).to(self.rows.device)
        result = torch.zeros(len(self), dtype=torch.long, device=self.rows.device)
        if not len(members):
            return _back(result)
        for start, part in _numbered_parts(self.moved, len(members)):
            about = _about(part, self.moved[chosen])
            inside = about < squared - self.slack
            row, place = ((about <= squared + self.slack) & ~inside).nonzero(as_tuple=True)
            inside[row, place] = self._apart(row + start, chosen[place]) < squared
            result[start : start + len(part)] = inside.sum(dim=1)
        return _back(result)

    def to_other(self, label: I32) -> F32:
        own = torch.from_numpy(label).to(self.rows.device)
        result = torch.full((len(self),), torch.inf, device=self.rows.device)
        for start, part in _numbered_parts(self.moved, len(self)):
            about = _about(part, self.moved)
            about[own[start : start + len(part), None] == own] = torch.inf
            least = about.min(dim=1).values
            row, place = ((about <= (least + 2 * self.slack)[:, None]) & about.isfinite()).nonzero(as_tuple=True)
            apart = self._apart(row + start, place)
            counts = torch.bincount(row, minlength=len(part))
            result[start : start + len(part)] = torch.segment_reduce(apart, "min", lengths=counts, unsafe=True)
        return _back(result)

    def to_row(self, row: int) -> F32:
        return _back(torch.cat([_squares(part - self.rows[row]) for part in _parts(self.rows, self.rows.shape[1])]))

    def _apart(self, one: Tensor, other: Tensor) -> Tensor:
        return _apart(self.rows, self.rows, one, other)


def _owners(rows: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of every row, i64[U], the first of equally near ones.

    Products find it; rows for which they leave several centres in doubt compare their distances.
    """
    middle = centres.double().mean(dim=0).float()
    others = centres - middle
    longest = float(others.square().sum(dim=1).max())
    result = []
    for start, part in _numbered_parts(rows, len(centres)):
        moved = part - middle
        slack = 2 * ROUNDING * (rows.shape[1] + 8) * (moved.square().sum(dim=1) + longest)
        about = _about(moved, others)
        least, owner = about.min(dim=1)
        doubt = about <= (least + slack)[:, None]
        counts = doubt.sum(dim=1)
        unsure = (counts > 1).nonzero().flatten()
        row, centre = doubt[unsure].nonzero(as_tuple=True)
        apart = _apart(rows, centres, unsure[row] + start, centre)
        nearest = torch.segment_reduce(apart, "min", lengths=counts[unsure], unsafe=True)
        winner = (apart == nearest[row]).nonzero().flatten()
        # Pairs are in order of rows: the first winner of each row is where the row changes.
        changes = torch.ones(len(winner), dtype=torch.bool, device=rows.device)
        changes[1:] = row[winner][1:] != row[winner][:-1]
        owner[unsure] = centre[winner[changes]]
        result.append(owner)
    return torch.cat(result)


def _moved_centres(rows: Tensor, label: Tensor, centre: Tensor) -> Tensor:
    """The mean row of each cluster; an empty cluster gets the row that is farthest from its centre, which leaves its own."""
    count = torch.bincount(label, minlength=len(centre))
    sums = _group_sums(rows, label, len(centre))
    if bool((count == 0).any()):
        _refill(rows, label, centre, sums, count)
    means = sums / count.clamp(min=1)[:, None]
    means[count == 0] = means[count.argmax()].clone()
    return means.float()


def _refill(rows: Tensor, label: Tensor, centre: Tensor, sums: Tensor, count: Tensor) -> None:
    """Give the farthest rows to the empty clusters, as scikit-learn does: `sums` and `count` are changed."""
    apart = _back(torch.cat([_squares(part - centre[label[start : start + len(part)]]) for start, part in _numbered_parts(rows)]))
    empty = (count == 0).nonzero().flatten().tolist()
    if apart.max() == 0:
        return
    farthest = np.argpartition(apart, -len(empty))[: -len(empty) - 1 : -1]
    for cluster, row in zip(empty, farthest.tolist(), strict=True):
        old = int(label[row])
        sums[old] -= rows[row].double()
        sums[cluster] = rows[row].double()
        count[old] -= 1
        count[cluster] = 1


def _group_sums(values: Tensor, group: Tensor, count: int) -> Tensor:
    """The sums, in double precision, of the rows of each group: f64[count,S]."""
    order = group.argsort(stable=True)
    return _run_sums(values[order].double(), torch.bincount(group, minlength=count))


def _run_sums(rows: Tensor, lengths: Tensor) -> Tensor:
    """The sums of consecutive rows: groups of more than `RUN` rows in runs first."""
    if not len(rows):
        return rows.new_zeros((len(lengths), rows.shape[1]))
    runs = (lengths + RUN - 1) // RUN
    if int(runs.max()) > 1:
        long = torch.full((int(runs.sum()),), RUN, device=rows.device)
        last = runs.cumsum(0)[runs > 0] - 1
        long[last] = lengths[runs > 0] - RUN * (runs[runs > 0] - 1)
        return _run_sums(torch.segment_reduce(rows, "sum", lengths=long, axis=0, unsafe=True), runs)
    return torch.segment_reduce(rows, "sum", lengths=lengths, axis=0, unsafe=True)


def _about(rows: Tensor, centres: Tensor) -> Tensor:
    """About the squared distances of all pairs, [U,C], by one product."""
    with _full_precision():
        product = rows @ centres.T
    return product.mul_(-2).add_(rows.square().sum(dim=1)[:, None]).add_(centres.square().sum(dim=1))


def _apart(rows: Tensor, centres: Tensor, row: Tensor, centre: Tensor) -> Tensor:
    """The squared distances of some pairs, from their differences."""
    pairs = _parts(torch.arange(len(row), device=rows.device), rows.shape[1])
    return torch.cat([rows.new_zeros(0), *(_squares(rows[row[part]] - centres[centre[part]]) for part in pairs)])


def _squares(gaps: Tensor) -> Tensor:
    """The sum of squares along the last axis; `gaps` is overwritten."""
    return _summed(gaps.square_())


def _summed(values: Tensor) -> Tensor:
    """The sums along the last axis, second half onto first half again and again: one order, whatever the device and the other axes; overwrites."""
    width = values.shape[-1]
    if not width:
        return values.sum(dim=-1)
    while width > 1:
        half = width // 2
        values[..., :half] += values[..., width - half : width]
        width -= half
    return values[..., 0].clone()


def _first_equal(rows: Tensor) -> tuple[Tensor, Tensor]:
    """One row of every set of equal rows, and for every row which of those it equals."""
    hashes, place = torch.unique(_hashes(rows), return_inverse=True)
    order = place.argsort(stable=True)
    counts = torch.bincount(place, minlength=len(hashes))
    first = order[counts.cumsum(0) - counts]
    same = torch.cat([(part == rows[first[place[start : start + len(part)]]]).all(dim=1) for start, part in _numbered_parts(rows)])
    if bool(same.all()):
        return first, place
    everyone = torch.arange(len(rows), device=rows.device)  # two rows share a hash: none is left out
    return everyone, everyone


def _hashes(rows: Tensor) -> Tensor:
    """A number for every row f32[U,D] that equal rows share; 0 and -0 are equal. Whole numbers, so that their sum has no order."""
    factor = np.random.Generator(np.random.Philox(3)).integers(-(2**63), 2**63 - 1, rows.shape[1]) | 1
    there = torch.from_numpy(factor).to(rows.device)
    return torch.cat([((part + 0.0).view(torch.int32).long() * there).sum(dim=1) for part in _parts(rows, rows.shape[1])])


def _parts(rows: Tensor, width: int | None = None) -> Iterator[Tensor]:
    """Consecutive rows, so many that `width` (of a row, unless given) numbers for each are one block."""
    return (part for _, part in _numbered_parts(rows, width))


def _numbered_parts(rows: Tensor, width: int | None = None) -> Iterator[tuple[int, Tensor]]:
    step = max(1, BLOCK // max(1, rows.shape[1] if width is None else width))
    return ((start, rows[start : start + step]) for start in range(0, len(rows), step))


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products in full single precision, whatever training allows: shorter ones are off by more than is made up for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _back(there: Tensor) -> Array:
    return there.cpu().numpy()
