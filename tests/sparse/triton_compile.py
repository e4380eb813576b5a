"""Compiles kernels for GPUs that need not be there; `test_triton.py` runs it, because Triton's interpreter and its compiler exclude each other.

Run: python tests/sparse/triton_compile.py CAPABILITY every|rule SHAPE... with shapes as kernel:type:precision:offsets:inputs:outputs. Prints a JSON
object per kernel and block size: {shape, config, estimate, shared, bytes of stack as stack, whether tensor cores multiply as cores}.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import astuple
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from al3d.sparse import triton_kernels as kernels
from al3d.sparse.triton_tuning import Config, Shape, candidates

POINTERS = {"float32": "*fp32", "bfloat16": "*bf16", "float16": "*fp16"}


def compiled(shape: Shape, config: Config, add: bool, capability: int) -> Any:
    kind = POINTERS[shape.type]
    signature = {"feat": kind, "kernel": kind, "out": "*fp32", "order": "*i32", "source": "*i32", "offsets": "*i32", "counts": "*i32", "padded": "i32"}
    constants: dict[str, Any] = {"FIRST": 0, "SIZE": shape.offsets, "ADD": add}
    if shape.kernel == "outer":
        signature = {"feat": kind, "grad": kind, "sums": "*fp32", "source": "*i32", "target": "*i32", "edges": "*i32"}
        constants = {}
    constants |= {"I": shape.inputs, "O": shape.outputs, "FAR": False, "ROWS": config.rows, "COLUMNS": config.columns}
    constants |= {"DEPTH": shape.depth, "PRECISION": shape.precision, "WIDEN": False}
    function = kernels.outer_kernel if shape.kernel == "outer" else kernels.products_kernel
    # as at run time: pointers from PyTorch's allocator are multiples of 16 bytes
    aligned = {(i,): [["tt.divisibility", 16]] for i in range(len(signature))}
    source = ASTSource(function, signature | dict.fromkeys(constants, "constexpr"), constants, aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": config.warps, "num_stages": config.stages})


def stack(cubin: bytes) -> int:
    """Bytes of stack per thread, 0 if its registers suffice."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(cubin)
        listed = subprocess.run([str(tool), "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    return int(re.findall(r"STACK:(\d+)", listed)[0])


def main(capability: int, which: str, shapes: list[str]) -> None:
    for words in shapes:
        kernel, kind, precision, *sizes = words.split(":")
        shape = Shape(kernel, kind, precision, *map(int, sizes))
        options = candidates(shape)
        for config in options if which == "every" else options[:1]:
            for add in (False, True) if kernel == "products" else (False,):
                done = compiled(shape, config, add, capability)
                cores = bool(re.search(r"\b(wgmma\.mma_async|mma\.sync)", done.asm["ptx"]))
                estimate = config.shared(shape.depth, shape.size)
                row = {"shape": words, "config": astuple(config), "estimate": estimate, "shared": done.metadata.shared}
                print(json.dumps(row | {"stack": stack(done.asm["cubin"]), "cores": cores}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
