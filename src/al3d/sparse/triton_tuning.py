"""Block sizes of the Triton kernels: a fixed rule, or the fastest of a few that were measured once and written down.

All candidates give the same sums in the same order, so a choice changes times, not results. Nothing here needs Triton.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path

from al3d.files import whole_file

#: The folder that measured choices are kept in. Without it nothing is measured, and the rule's choice is taken.
VARIABLE = "AL3D_TRITON_TUNE"
#: Bytes of shared memory that a block may use on any GPU from compute capability 8.0 on.
SHARED = 99 * 1024


@dataclass(frozen=True)
class Config:
    """A tile of `rows` x `columns` of the result per program, with `warps` warps and loads `stages` steps ahead."""

    rows: int
    columns: int
    warps: int
    stages: int

    def shared(self, depth: int, size: int) -> int:
        """Bytes of shared memory, at most: both operands of every stage, of `size` bytes an element, and indices; or the result on its way out."""
        return max(self.stages * (self.rows + self.columns) * depth * size + 1024, self.rows * self.columns * 4)


@dataclass(frozen=True)
class Shape:
    """What a choice is made for: `kernel` ("products" or "outer"), type, precision, offsets, channels in and out."""

    kernel: str
    type: str
    precision: str
    offsets: int
    inputs: int
    outputs: int

    @property
    def size(self) -> int:
        """Bytes per element."""
        return 4 if self.type == "float32" else 2

    @property
    def depth(self) -> int:
        """Channels (or pairs) per product. A function of type and channels alone: it is part of the order of sums."""
        longest = 32 if self.size == 4 else 64
        return longest if self.kernel == "outer" else min(longest, power(self.inputs))

    @property
    def bucket(self) -> str:
        """Shapes of one bucket have the same candidates and share their choice: channels are rounded up to 16 or a multiple of 32."""
        inputs, outputs = (16 if channels <= 16 else -(-channels // 32) * 32 for channels in (self.inputs, self.outputs))
        return f"{self.kernel} {self.type} {self.precision} offsets {self.offsets} channels {inputs} {outputs}"


def power(channels: int) -> int:
    """The smallest power of two that holds `channels`, at least 16, the smallest side of a product."""
    return max(16, 1 << max(channels - 1, 0).bit_length())


def candidates(shape: Shape, shared: int = SHARED) -> tuple[Config, ...]:
    """The sizes worth measuring for `shape` with `shared` bytes of shared memory; the first is the rule's choice."""
    columns = power(shape.outputs)
    if shape.kernel == "outer":
        rows = power(shape.inputs)
        made = [Config(min(side, rows), min(other, columns), 4, 3) for side, other in ((64, 64), (32, 64), (64, 32), (32, 32), (128, 64))]
    else:
        # without tensor cores, wider tiles do not fit the registers
        widest = 64 if shape.type == "float32" and shape.precision == "ieee" else 128
        widths = [width for width in (64, 32, 128, 16) if width <= min(columns, widest)]
        made = [Config(rows, width, warps, 3) for rows, warps in ((128, 4), (64, 4), (128, 8)) for width in widths[:3]]
    fitting = [config for config in made if config.shared(shape.depth, shape.size) <= shared]
    return tuple(dict.fromkeys(fitting or [Config(min(64, made[0].rows), min(32, columns), 4, 2)]))


@dataclass
class Choices:
    """The choices of one kind of GPU, kept in `file`: a JSON object from buckets to [rows, columns, warps, stages]."""

    file: Path | None
    taken: dict[str, Config] = field(default_factory=dict)

    def __call__(self, shape: Shape, shared: int, measure: Callable[[Config], float] | None) -> Config:
        """The choice for `shape`: the one taken before, the one in the file, else the least by `measure` (milliseconds; None: not measured)."""
        bucket = shape.bucket
        if bucket not in self.taken:
            options = candidates(shape, shared)
            known = self._read().get(bucket)
            if known not in options and measure is not None and self.file is not None:
                known = min(options, key=measure)
                self._write(bucket, known)
            self.taken[bucket] = known if known in options else options[0]
        return self.taken[bucket]

    def _read(self) -> dict[str, Config]:
        if self.file is None or not self.file.exists():
            return {}
        try:
            return {bucket: Config(*map(int, sizes)) for bucket, sizes in json.loads(self.file.read_text(encoding="utf-8")).items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.file} does not hold block sizes: delete it, or set {VARIABLE} to another folder") from error

    def _write(self, bucket: str, config: Config) -> None:
        if self.file is not None:
            # read again: another process may have written meanwhile
            known = self._read() | {bucket: config}
            with whole_file(self.file) as path:
                path.write_text(json.dumps({name: astuple(known[name]) for name in sorted(known)}, indent=1), encoding="utf-8")


def choices_of(device: str, version: str) -> Choices:
    """The choices for a GPU of that name with that version of Triton, in the folder that the environment names."""
    folder = os.environ.get(VARIABLE)
    name = "".join(letter if letter.isalnum() else "-" for letter in f"{device} triton {version}")
    return Choices(Path(folder).expanduser() / f"{name}.json" if folder else None)
