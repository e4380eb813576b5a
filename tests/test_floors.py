"""The floors of the package: who may import whom, read from the source files, and checked once more in a running interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCE = REPOSITORY / "src" / "al3d"

#: From the ground up. A module imports from its own floor and from lower ones; a part that is not named here fails.
FLOORS = (
    {"types", "arrays", "locks", "rng", "run", "files", "progress", "command", "configuration", "sweep", "launchers", "threads", "trust"},
    {"sparse", "geometry", "units", "data.sources", "world"},
    {"nets", "data", "features", "probes", "people"},
    {"learn", "acquire"},
    {"plan", "rounds", "sharing", "report", "identity", "for_probes", "compose", "main", "predict", "annotate"},
    {"commands", "door", "hydra_door", "__main__"},
)
#: What commands show that compose a configuration as train.py does: nothing but a command imports them.
SCRIPTS = {"al3d.units.report", "al3d.demo"}
HEAVY = {"torch", "lightning", "pytorch_lightning", "torchmetrics"}
#: The composition itself and its budget are types that the loop may name; what they are made of is chosen by configuration.
COMPOSITION = {"al3d.acquire.acquirer.Acquirer", "al3d.acquire.budget.Budget"}
PLUG_IN_GROUPS = ("acquire", "augment", "dataset", "net", "seed", "unit")


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py"))}


def part_of(module: str) -> str:
    """The part that a module belongs to: `al3d.data.sources.ply` is in `data.sources`, `al3d` itself in none."""
    inner = module.split(".")[1:]
    return "data.sources" if inner[:2] == ["data", "sources"] else inner[0] if inner else ""


def floor_of(module: str) -> int:
    if module in SCRIPTS:
        return len(FLOORS) - 1
    part = part_of(module)
    return 0 if not part else next((number for number, parts in enumerate(FLOORS) if part in parts), -1)


@cache
def imported(module: str) -> tuple[tuple[str, str], ...]:
    """(module, name) pairs of every import in a module, also of those inside functions; the name is empty for plain imports."""
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import in line {node.lineno}: write the whole name"
            found += [_split(node.module or "", alias.name) for alias in node.names]
    return tuple(found)


def _split(module: str, name: str) -> tuple[str, str]:
    """`from al3d.world import rooms` imports a module, `from al3d.rng import Key` a name."""
    return (f"{module}.{name}", "") if f"{module}.{name}" in MODULES else (module, name)


def neighbours(module: str) -> set[str]:
    """The modules of al3d that this one names."""
    return {name for name, _ in imported(module) if name.split(".")[0] == "al3d"} - {module}


def loaded(module: str) -> set[str]:
    """The modules of al3d that this one loads first: those it names, and the packages on the way to them."""
    return {".".join(name.split(".")[:count]) for name in neighbours(module) for count in range(1, name.count(".") + 2)} - {module}


def reachable(module: str, step: Callable[[str], set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        seen |= waiting
        waiting = {other for one in waiting for other in step(one)} - seen
    return seen


def targets() -> set[str]:
    """Every `_target_` of al3d in the groups whose choices are plug-ins."""
    found: set[str] = set()
    waiting = [yaml.safe_load(path.read_text(encoding="utf-8")) for group in PLUG_IN_GROUPS for path in (REPOSITORY / "conf" / group).glob("*.yaml")]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += node.values()
            found |= {node["_target_"]} if "_target_" in node else set()
        elif isinstance(node, list):
            waiting += node
    return {target for target in found if target.startswith("al3d.")} - COMPOSITION


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_from_its_floor_and_below(module: str) -> None:
    assert floor_of(module) >= 0, f"{module}: the part {part_of(module)!r} has no floor; add it to FLOORS and to docs/architecture.md"
    for other in neighbours(module):
        assert other in MODULES, f"{module} imports {other}, which does not exist"
        assert floor_of(other) <= floor_of(module), f"{module} (floor {floor_of(module)}) imports {other} (floor {floor_of(other)})"


def test_no_import_runs_in_a_circle() -> None:
    for module in MODULES:
        for other in neighbours(module):
            assert module not in reachable(other, neighbours), f"{module} and {other} import each other"


def test_choosing_is_numpy_only() -> None:
    methods = [module for module in MODULES if part_of(module) == "acquire" and module != "al3d.acquire.callback"]
    assert len(methods) > 5
    for module in methods:
        for other in sorted(reachable(module, loaded)):
            heavy = {name for name, _ in imported(other) if name.split(".")[0] in HEAVY}
            assert not heavy, f"{module} reaches {other}, which imports {', '.join(sorted(heavy))}"


def test_importing_the_methods_loads_no_torch() -> None:
    methods = sorted(module for module in MODULES if part_of(module) == "acquire" and module != "al3d.acquire.callback")
    code = f"import sys, {', '.join(methods)}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "", f"importing the methods loads {result.stdout.strip()}"


def test_plug_ins_are_named_by_configuration_alone() -> None:
    named = targets()
    assert len(named) > 12
    for module in MODULES:
        for where, name in imported(module):
            target = f"{where}.{name}"
            own = target.rsplit(".", 2)[0]
            assert target not in named or f"{module}.".startswith(f"{own}."), f"{module} imports {target} by name: let the configuration choose it"


@pytest.mark.parametrize("package", ["al3d.data.sources", "al3d.nets", "al3d.units"])
def test_no_module_of_a_plug_in_is_imported_from_outside(package: str) -> None:
    modules = {target.rsplit(".", 1)[0] for target in targets() if target.startswith(f"{package}.")}
    assert modules
    for module in MODULES:
        taken = modules & {name for name, _ in imported(module)}
        assert not taken or module.startswith(package), f"{module} imports {', '.join(sorted(taken))}: let the configuration choose it"


def test_the_rules_can_fail() -> None:
    assert floor_of("al3d.acquire.pick") > floor_of("al3d.data.store") > floor_of("al3d.data.sources.s3dis") > floor_of("al3d.types")
    assert floor_of("al3d.nonsense") == -1
    assert "al3d.learn.segmenter" in reachable("al3d.acquire.callback", loaded)
    assert any(name.split(".")[0] in HEAVY for name, _ in imported("al3d.acquire.callback"))
